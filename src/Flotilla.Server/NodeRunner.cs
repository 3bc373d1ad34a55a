using Flotilla.Node;

namespace Flotilla.Server;

/// <summary>Runs nodes and routers for the command line, each until it is told to stop or can't go on.</summary>
public sealed class NodeRunner : INodeRunner
{
    /// <inheritdoc/>
    public async Task RunNodeAsync(NodeOptions options, TextWriter log, CancellationToken stop)
    {
        using var loggers = new TextLoggerFactory(log);
        NodeHost host;
        try
        {
            host = await NodeHost.StartAsync(options, loggers, stop);
        }
        catch (OperationCanceledException) when (stop.IsCancellationRequested)
        {
            return;
        }

        await using (host)
        {
            var stopped = new TaskCompletionSource(TaskCreationOptions.RunContinuationsAsynchronously);
            using (stop.UnsafeRegister(static state => ((TaskCompletionSource)state!).TrySetResult(), stopped))
            {
                if (await Task.WhenAny(stopped.Task, host.Failed) == host.Failed)
                {
                    await host.AbortAsync();
                    var reason = await host.Failed;
                    throw reason as NodeFailedException ?? new NodeFailedException(reason.Message, reason);
                }
            }

            await host.StopAsync();
        }
    }

    /// <inheritdoc/>
    public async Task RunRouterAsync(RouterOptions options, TextWriter log, CancellationToken stop)
    {
        using var loggers = new TextLoggerFactory(log);
        await using var host = await RouterHost.StartAsync(options, loggers, CancellationToken.None);
        await Task.Delay(Timeout.Infinite, stop).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        await host.StopAsync();
    }
}
