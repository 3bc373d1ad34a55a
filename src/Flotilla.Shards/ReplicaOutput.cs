using Flotilla.Raft;

namespace Flotilla.Shards;

/// <summary>What one batch of inputs led to.</summary>
public sealed class ReplicaOutput
{
    /// <summary>Persist, Send, Fetch and RoleChanged effects, in order (Commit and reads are dealt with inside).</summary>
    public List<Effect> Effects { get; } = [];

    /// <summary>Answers to commands and gets. Values are copies: they belong to the receiver.</summary>
    public List<(RequestId Id, CommandResult Result)> Replies { get; } = [];

    /// <summary>Answers to scans.</summary>
    public List<(RequestId Id, ScanPage Page)> Pages { get; } = [];

    internal void Clear()
    {
        Effects.Clear();
        Replies.Clear();
        Pages.Clear();
    }
}
