using Flotilla.Topology.Gossip;
using Microsoft.Extensions.Logging;

namespace Flotilla.Node.Cluster;

/// <summary>Writes what gossip knows to the disk, at most once a second and on no thread that anybody waits for. Thread-safe.</summary>
/// <param name="write">Replaces the file.</param>
/// <param name="log">Where failures go: they cost an exchange after the next start, and nothing else.</param>
internal sealed class TopologySaver(Action<byte[]> write, ILogger log) : IAsyncDisposable
{
    private static readonly TimeSpan Period = TimeSpan.FromSeconds(1);

    private readonly CancellationTokenSource _stop = new();
    private Task _saving = Task.CompletedTask;
    private (GossipTable Table, ulong ClusterId)? _due;
    private readonly Lock _gate = new();
    private bool _complained;

    /// <summary>Starts to write.</summary>
    public void Start() => _saving = Task.Run(SaveAsync);

    /// <summary>This is what is to be kept from now on.</summary>
    public void Offer(GossipTable table, ulong clusterId)
    {
        lock (_gate)
        {
            _due = (table, clusterId);
        }
    }

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _saving;
        _stop.Dispose();
    }

    private async Task SaveAsync()
    {
        using var timer = new PeriodicTimer(Period);
        try
        {
            while (await timer.WaitForNextTickAsync(_stop.Token))
            {
                Save();
            }
        }
        catch (OperationCanceledException)
        {
            // The node is stopping. What is not written is learned again.
        }
    }

    private void Save()
    {
        (GossipTable Table, ulong ClusterId) due;
        lock (_gate)
        {
            if (_due is not { } wanted)
            {
                return;
            }

            (due, _due) = (wanted, null);
        }

        try
        {
            write(TableCodec.Encode(due.Table, due.ClusterId));
            _complained = false;
        }
        catch (IOException e)
        {
            if (!_complained)
            {
                log.TopologyNotKept(e.Message);
            }

            _complained = true;
            lock (_gate)
            {
                _due ??= due;
            }
        }
    }
}
