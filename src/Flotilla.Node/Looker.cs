namespace Flotilla.Node;

/// <summary>
/// Looks at something again and again, on the thread pool and one look at a time, from <see cref="Start"/> until it is disposed of. What a
/// stop leaves undone, another leader or the node's next start goes on with.
/// </summary>
/// <param name="what">What it does, as a message about its failure begins: "What fills empty seats".</param>
/// <param name="fatal">The node can't go on.</param>
internal abstract class Looker(string what, Action<Exception> fatal) : IAsyncDisposable
{
    private readonly CancellationTokenSource _stop = new();
    private Task _looking = Task.CompletedTask;

    /// <summary>Starts to look; the first look comes at once.</summary>
    public void Start() => _looking = Task.Run(RunAsync);

    /// <inheritdoc/>
    public async ValueTask DisposeAsync()
    {
        await _stop.CancelAsync();
        await _looking;
        _stop.Dispose();
    }

    /// <summary>One look.</summary>
    /// <param name="stop">Cancelled when the node stops.</param>
    /// <returns>How long to wait for the next; null if there is nothing to look for any more.</returns>
    protected abstract ValueTask<TimeSpan?> LookAsync(CancellationToken stop);

    private async Task RunAsync()
    {
        try
        {
            while (await LookAsync(_stop.Token) is { } pause)
            {
                await Task.Delay(pause, _stop.Token);
            }
        }
        catch (OperationCanceledException) when (_stop.IsCancellationRequested)
        {
            // The node is stopping.
        }
        catch (Exception e)
        {
            fatal(new NodeFailedException($"{what} met a state that must not be ({e.GetType().Name}: {e.Message}). The node stops. Start it again, and report this with the log.", e));
        }
    }
}
