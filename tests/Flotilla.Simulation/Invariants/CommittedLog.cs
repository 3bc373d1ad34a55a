using Flotilla.Raft;
using Flotilla.Simulation.Nodes;
using Flotilla.Topology;

namespace Flotilla.Simulation.Invariants;

/// <summary>
/// Leader completeness and state machine safety (Raft paper, figure 3): there is one committed log per shard, every replica
/// commits a beginning of it, and every leader of a later term holds all of it.
/// </summary>
public sealed class CommittedLog : Invariant
{
    private readonly Dictionary<ShardId, List<(Term Term, ulong Chain)>> _committed = [];
    private readonly Dictionary<HostedReplica, (int Boot, LogIndex Commit, Term Led)> _seen = [];

    /// <summary>How many entries of a shard are committed.</summary>
    public int Count(ShardId shard) => _committed.TryGetValue(shard, out var list) ? list.Count : 0;

    /// <summary>A committed entry's term and the hash over everything up to it.</summary>
    public (Term Term, ulong Chain) At(ShardId shard, LogIndex index) => _committed[shard][(int)index.Value - 1];

    /// <summary>The beginning of a shard's committed log, for what only a snapshot holds any more.</summary>
    public IReadOnlyList<(Term Term, ulong Chain)> Prefix(ShardId shard, LogBase through)
    {
        if (through.Index == LogIndex.Zero)
        {
            return [];
        }

        var committed = _committed.GetValueOrDefault(shard) ?? [];
        if ((int)through.Index.Value > committed.Count || (through.Term != Term.Zero && committed[(int)through.Index.Value - 1].Term != through.Term))
        {
            throw Broken($"a log of shard {shard} begins behind {through}, which was never committed");
        }

        return committed.GetRange(0, (int)through.Index.Value);
    }

    /// <inheritdoc/>
    public override void Started(HostedReplica hosted) => _seen.Remove(hosted);

    /// <inheritdoc/>
    public override void Stepped(HostedReplica hosted)
    {
        var raft = hosted.Replica.Raft;
        var before = _seen.GetValueOrDefault(hosted);
        if (!_committed.TryGetValue(hosted.Genesis.Shard, out var committed))
        {
            _committed.Add(hosted.Genesis.Shard, committed = []);
        }

        if (raft.CommitIndex < before.Commit)
        {
            throw Broken($"{hosted.Name}: the commit index went back from {before.Commit} to {raft.CommitIndex}");
        }

        if (raft.CommitIndex > hosted.Log.Last || hosted.Replica.LastApplied > raft.CommitIndex)
        {
            throw Broken($"{hosted.Name}: applied {hosted.Replica.LastApplied}, committed {raft.CommitIndex}, holds {hosted.Log.Last}");
        }

        if (raft.Role == Role.Leader && before.Led != raft.Term)
        {
            CheckComplete(hosted, committed);
        }

        if (raft.CommitIndex > before.Commit)
        {
            for (var index = before.Commit.Next; index <= raft.CommitIndex; index = index.Next)
            {
                Commit(hosted, committed, index);
            }
        }

        _seen[hosted] = (hosted.Node.Boot, raft.CommitIndex, raft.Role == Role.Leader ? raft.Term : before.Led);
    }

    private void Commit(HostedReplica hosted, List<(Term Term, ulong Chain)> committed, LogIndex index)
    {
        var mine = hosted.Log.At(index);
        if ((int)index.Value > committed.Count)
        {
            committed.Add(mine);
        }
        else if (committed[(int)index.Value - 1] != mine)
        {
            throw Broken($"{hosted.Name} commits {index}/{mine.Term}, but {index}/{committed[(int)index.Value - 1].Term} is committed");
        }
    }

    private void CheckComplete(HostedReplica hosted, List<(Term Term, ulong Chain)> committed)
    {
        var last = new LogIndex((ulong)committed.Count);
        if (last > LogIndex.Zero && committed[^1].Term < hosted.Replica.Raft.Term && (hosted.Log.Last < last || hosted.Log.At(last).Chain != committed[^1].Chain))
        {
            throw Broken($"{hosted.Name} leads {hosted.Replica.Raft.Term} without the committed entry {last}/{committed[^1].Term}");
        }
    }
}
