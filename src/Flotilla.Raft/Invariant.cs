namespace Flotilla.Raft;

/// <summary>Assertions for what must never be false, on in Release too: a replica that broke its own rules must stop, not guess.</summary>
internal static class Invariant
{
    public static void Require(bool holds, string rule)
    {
        if (!holds)
        {
            throw new InvariantException(rule);
        }
    }
}

/// <summary>A rule that the protocol rests on does not hold: a bug, or a log that was changed behind the replica's back. The node must stop.</summary>
public sealed class InvariantException(string rule) : InvalidOperationException($"broken invariant: {rule}");
