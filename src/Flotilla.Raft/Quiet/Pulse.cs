namespace Flotilla.Raft.Quiet;

/// <summary>
/// Names one series of node heartbeats: those of one loop of one process. Another start of a node has another
/// <paramref name="Boot"/>, and another data directory another <paramref name="Incarnation"/>, so that a heartbeat never
/// stands in for a leader which ended with an earlier process.
/// </summary>
/// <param name="Incarnation">The sender's data directory.</param>
/// <param name="Boot">Its boot number: grows with each start of the incarnation, from 1 on. 0: no heartbeats are sent.</param>
/// <param name="Loop">Which thread of the process steps the replicas that these heartbeats stand in for.</param>
public readonly record struct Pulse(Incarnation Incarnation, ulong Boot, uint Loop)
{
    /// <summary>True for <c>default</c>: no heartbeats.</summary>
    public bool IsNone => Boot == 0;

    /// <inheritdoc/>
    public override string ToString() => $"{Incarnation}/{Boot}.{Loop}";
}
