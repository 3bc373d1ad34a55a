using Flotilla.Node;

namespace Flotilla.Cli;

/// <summary>Stands where the composition root goes until that is part of this build.</summary>
internal sealed class NoRunner : INodeRunner
{
    /// <inheritdoc/>
    public Task RunNodeAsync(NodeOptions options, TextWriter log, CancellationToken stop) => throw new NodeFailedException("this build has no server yet");

    /// <inheritdoc/>
    public Task RunRouterAsync(RouterOptions options, TextWriter log, CancellationToken stop) => throw new NodeFailedException("this build has no server yet");
}
