using Flotilla.Data;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Shards.Handoff;
using Flotilla.Simulation.Nodes;
using Flotilla.Topology;

namespace Flotilla.Simulation.Invariants;

/// <summary>Something that holds over what the committed logs of all shards say, after each entry that decides about slots.</summary>
public abstract class MeaningInvariant
{
    /// <summary>A step was committed and applied; <paramref name="took"/>: it had an effect.</summary>
    public abstract void Applied(LogMeaning meaning, ShardGenesis shard, HandoffStep step, bool took);

    /// <summary>Ends the run.</summary>
    protected SimulationException Broken(string what) => new($"{GetType().Name}: {what}");
}

/// <summary>
/// What the committed logs mean: one state machine for each shard, which applies each entry as soon as anybody knows that it is
/// committed. So what two shards decide can be compared entry by entry, whatever single replicas have applied so far.
/// </summary>
public sealed class LogMeaning : Invariant
{
    private readonly CommittedLog _committed;
    private readonly IReadOnlyList<MeaningInvariant> _watchers;
    private readonly SortedDictionary<ShardId, Shard> _shards = [];

    /// <summary>Begins with the shards of genesis.</summary>
    public LogMeaning(CommittedLog committed, IEnumerable<ShardGenesis> shards, IReadOnlyList<MeaningInvariant> watchers)
    {
        _committed = committed;
        _watchers = watchers;
        foreach (var shard in shards)
        {
            Bear(shard);
        }
    }

    /// <summary>Called after each step that was committed, with whether it had an effect.</summary>
    public Action<ShardGenesis, HandoffStep, bool>? Stepping { get; set; }

    /// <summary>Slots that are in a move which is not decided, or not known to be at its source.</summary>
    public SlotSet Moving { get; private set; } = SlotSet.Empty;

    /// <summary>What each shard's log says, by number.</summary>
    public IEnumerable<(ShardId Shard, StateMachine Machine)> Machines => _shards.Select(s => (s.Key, s.Value.Machine));

    /// <summary>What a shard's log says.</summary>
    public StateMachine Of(ShardId shard) => _shards[shard].Machine;

    /// <summary>What the log of a group says; null for one that nobody knows.</summary>
    public StateMachine? Of(GroupId group) => _shards.Values.FirstOrDefault(s => s.Genesis.Group == group)?.Machine;

    /// <summary>One shard more.</summary>
    public void Bear(ShardGenesis shard) => _shards.Add(shard.Shard, new Shard(shard));

    /// <inheritdoc/>
    public override void Persisting(HostedReplica hosted, Effect.Persist persist)
    {
        var shard = _shards[hosted.Genesis.Shard];
        foreach (var entry in persist.Entries)
        {
            if (entry.Index > shard.Machine.LastApplied)
            {
                shard.Candidates[(entry.Index, entry.Term)] = entry;
            }
        }
    }

    /// <inheritdoc/>
    public override void Stepped(HostedReplica hosted)
    {
        var shard = _shards[hosted.Genesis.Shard];
        var count = new LogIndex((ulong)_committed.Count(hosted.Genesis.Shard));
        if (shard.Machine.LastApplied >= count)
        {
            return;
        }

        while (shard.Machine.LastApplied < count)
        {
            var index = shard.Machine.LastApplied.Next;
            Apply(shard, shard.Candidates[(index, _committed.At(hosted.Genesis.Shard, index).Term)]);
        }

        foreach (var old in shard.Candidates.Keys.Where(k => k.Index <= count).ToList())
        {
            shard.Candidates.Remove(old);
        }
    }

    private void Apply(Shard shard, in Entry entry)
    {
        var machine = shard.Machine;
        if (entry.Kind != EntryKind.Command || !HandoffCodec.IsStep(entry.Payload.Span))
        {
            machine.Apply(in entry, null);
            return;
        }

        var step = HandoffCodec.Decode(entry.Payload).Step;
        var before = shard.Sign();
        machine.Apply(in entry, null);
        var took = shard.Sign() != before;
        foreach (var watcher in _watchers)
        {
            watcher.Applied(this, shard.Genesis, step, took);
        }

        Moving = _shards.Values.Aggregate(SlotSet.Empty, (all, one) => all.Union(one.Machine.Ownership.Leaving));
        Stepping?.Invoke(shard.Genesis, step, took);
    }

    private sealed class Shard(ShardGenesis genesis)
    {
        public ShardGenesis Genesis => genesis;

        public StateMachine Machine { get; } = new(new BTree(), genesis.Slots, genesis.Mode);

        public SortedDictionary<(LogIndex Index, Term Term), Entry> Candidates { get; } = [];

        // Every step that has an effect changes one of these.
        public (int State, int Weight, int Outgoing, int Incoming, int Slots, LogIndex Floors, int ToPurge) Sign()
        {
            var ownership = Machine.Ownership;
            var outgoing = 0;
            foreach (var move in ownership.Outgoing)
            {
                outgoing = (outgoing * 31) + (int)move.Begin.Value + ((int)move.Phase * 7);
            }

            var incoming = 0;
            foreach (var move in ownership.Incoming)
            {
                incoming = (incoming * 31) + (int)move.Id.Begin.Value + ((int)move.Phase * 7) + ((int)move.Chunks * 1009) + ((int)move.Attempt.Term.Value * 10_007) + ((int)move.Attempt.Number * 100_003);
            }

            return ((int)ownership.State, ownership.Weight, outgoing, incoming, ownership.Slots.Count, default, ownership.ToPurge.Count);
        }
    }
}
