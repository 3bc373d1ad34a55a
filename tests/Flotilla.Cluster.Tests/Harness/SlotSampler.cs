using System.Diagnostics;
using System.Net;
using Flotilla.Shards.Image;
using Flotilla.Wire.Backups;

namespace Flotilla.Cluster.Tests.Harness;

/// <summary>
/// Asks every node of a cluster, all the time, which slots each shard owns, and compares the answers (<see cref="SlotClaims"/>). It asks for a backup, which a
/// replica gives only after a linearizable read has shown that it has applied all that was decided before: so a sample is what the
/// shard's log says, whichever replica tells of it. It reads the beginning of a backup and leaves the rest.
/// </summary>
internal sealed class SlotSampler : IAsyncDisposable
{
    /// <summary>A node is asked about one shard at a time: sampling is to leave the machine to those whom it watches.</summary>
    private TimeSpan Between { get; }

    private readonly HttpClient _http = new() { Timeout = TimeSpan.FromSeconds(10) };
    private readonly CancellationTokenSource _stop = new();
    private readonly Task[] _asking;
    private int _unanswered;

    /// <summary>Begins.</summary>
    /// <param name="nodes">Whom to ask.</param>
    /// <param name="shards">About which shards.</param>
    /// <param name="between">How long each node is left alone between two questions: a sample costs it some milliseconds.</param>
    public SlotSampler(IEnumerable<TestNode> nodes, Func<IEnumerable<int>> shards, TimeSpan between)
    {
        Between = between;
        _asking = [.. nodes.Select(node => Task.Run(() => AskAsync(node, shards)))];
    }

    /// <summary>What they said.</summary>
    public SlotClaims Claims { get; } = new();

    /// <summary>In one line.</summary>
    public string Summary =>
        $"{Claims.Samples} samples of who owns which slots ({_unanswered} questions had no answer): {Claims.Claims} claims of a slot under an epoch, {Claims.Moved} slots seen with two shards or more, {Claims.Frozen} times frozen; "
        + $"{Claims.FormerOwnersAsked} times a shard was asked after a slot of it had been seen elsewhere, and did not serve it; {Claims.Violations.Count} contradictions";

    /// <summary>Asks no more.</summary>
    public async Task FinishAsync()
    {
        await _stop.CancelAsync();
        await Task.WhenAll(_asking);
    }

    public async ValueTask DisposeAsync()
    {
        await FinishAsync();
        _http.Dispose();
        _stop.Dispose();
    }

    private async Task AskAsync(TestNode node, Func<IEnumerable<int>> shards)
    {
        try
        {
            while (!_stop.IsCancellationRequested)
            {
                foreach (var shard in shards().ToArray())
                {
                    await AskAsync(node, shard);
                    await Task.Delay(Between, _stop.Token);
                }
            }
        }
        catch (OperationCanceledException) when (_stop.IsCancellationRequested)
        {
            // Enough was asked.
        }
    }

    private async Task AskAsync(TestNode node, int shard)
    {
        var began = NowUs;
        try
        {
            using var answer = await _http.GetAsync(new Uri($"http://127.0.0.1:{node.HttpPort}/backup?shard={shard}"), HttpCompletionOption.ResponseHeadersRead, _stop.Token);
            if (answer.StatusCode == HttpStatusCode.OK)
            {
                await using var stream = await answer.Content.ReadAsStreamAsync(_stop.Token);
                var frames = new BackupFrameReader(stream);
                var image = ImageReader.Passing(handler: null);
                while (!image.KnowsOwnership && await frames.ReadAsync(_stop.Token) is { } frame)
                {
                    if (frame.Kind == BackupFrameKind.Block)
                    {
                        image.Read(frame.Content);
                    }
                }

                if (image.KnowsOwnership)
                {
                    Claims.Add(shard, image.OwnedEpochs, image.FrozenSlots, began, NowUs);
                    return;
                }
            }
        }
        catch (Exception e) when (e is HttpRequestException or IOException or BackupDamagedException || (e is OperationCanceledException && !_stop.IsCancellationRequested))
        {
            // The node does not run at this moment, has died while it answered, or is too busy.
        }

        Interlocked.Increment(ref _unanswered);
    }

    private static long NowUs => Stopwatch.GetTimestamp() / (Stopwatch.Frequency / 1_000_000);
}
