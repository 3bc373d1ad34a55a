using Flotilla.Raft;

namespace Flotilla.Node.Peers;

/// <summary>How a process speaks to the others.</summary>
internal sealed record TransportOptions
{
    /// <summary>Bytes that may wait for one peer before the oldest Raft messages are dropped. Default 64 MiB.</summary>
    public int MaxQueueBytes { get; init; } = 64 << 20;

    /// <summary>A peer that was heard from within this is shown as alive. Default 1.5 s.</summary>
    public double AliveMs { get; init; } = 1500;

    /// <summary>A stream on which nothing was heard for this long is cut and dialled anew, since TCP alone may take minutes to notice. Default 2.5 s.</summary>
    public double SilenceMs { get; init; } = 2500;

    /// <summary>How long opening a stream may take, the Hello included. Default 1 s.</summary>
    public TimeSpan OpenTimeout { get; init; } = TimeSpan.FromSeconds(1);

    /// <summary>The first pause between two attempts to dial; it doubles up to <see cref="MaxBackoffMs"/>.</summary>
    public int MinBackoffMs { get; init; } = 50;

    /// <summary>The longest pause between two attempts to dial.</summary>
    public int MaxBackoffMs { get; init; } = 1000;

    /// <summary>
    /// A forwarded call whose target was deposed is unclear after this long: an old leader that is alive answers within it,
    /// and one that is stopped or cut off will not. Default 150 ms.
    /// </summary>
    public double DeposedGraceMs { get; init; } = 150;

    /// <summary>An answer may arrive this much after the call's deadline, which the other side keeps on its own clock. Default 100 ms.</summary>
    public double AnswerGraceMs { get; init; } = 100;

    /// <summary>
    /// One of two nodes dials as a rule: the one with the lower id. The other one does if no stream stands after this long: it
    /// alone may know the way, when it has just joined or moved. Default 1 s.
    /// </summary>
    public int DialInsteadMs { get; init; } = 1000;

    /// <summary>Where to dial a node, instead of at its address: for tests that stand in between. Default at its address.</summary>
    public Func<NodeId, string, string> Way { get; init; } = static (_, address) => address;

    /// <summary>Whether a name is known to be a node's, so that no router may use it. Default never.</summary>
    public Func<NodeId, bool> IsNode { get; init; } = static _ => false;
}
