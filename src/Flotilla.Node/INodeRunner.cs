namespace Flotilla.Node;

/// <summary>
/// The seam between the command line, which reads flags, and the composition root, which builds a process from them.
/// Each method runs until its token is cancelled and returns normally after a clean stop (whatever
/// was acknowledged is durable, listeners are closed).
/// </summary>
public interface INodeRunner
{
    /// <summary>Runs a node until it is told to stop.</summary>
    /// <param name="options">What to run.</param>
    /// <param name="log">Where the node's log lines go (standard error, as a rule). Written by one thread at a time.</param>
    /// <param name="stop">Ends the node cleanly.</param>
    /// <exception cref="NodeFailedException">It can't start or can't go on, for a reason that the operator can mend.</exception>
    Task RunNodeAsync(NodeOptions options, TextWriter log, CancellationToken stop);

    /// <summary>Runs a router until it is told to stop.</summary>
    /// <param name="options">What to run.</param>
    /// <param name="log">Where its log lines go.</param>
    /// <param name="stop">Ends the router cleanly.</param>
    /// <exception cref="NodeFailedException">It can't start or can't go on, for a reason that the operator can mend.</exception>
    Task RunRouterAsync(RouterOptions options, TextWriter log, CancellationToken stop);
}

/// <summary>
/// A node or router can't start or can't go on: a port in use, a data directory in use or another node's, a damaged log,
/// a failed disk. The message is for the operator and says what to do; the command prints it, without a stack trace, and
/// exits with 1.
/// </summary>
public sealed class NodeFailedException(string message, Exception? cause = null) : Exception(message, cause);
