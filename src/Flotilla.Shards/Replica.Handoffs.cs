using Flotilla.Raft;
using Flotilla.Shards.Handoff;
using Flotilla.Topology;

namespace Flotilla.Shards;

/// <content>Slots that move to other shards and come from them: what a shell asks for, hears and is told (docs/handoff.md).</content>
public sealed partial class Replica
{
    /// <summary>What the log says of the shard itself, applied here: slots, moves, state. To be read on this thread, until the next flush.</summary>
    public Ownership Ownership => _machine.Ownership;

    /// <summary>The slots that the ring means for this shard; offers of others are put off. Every slot, until it is set.</summary>
    public SlotSet MeantSlots
    {
        get => _handoffs.Meant;
        set => _handoffs.Meant = value;
    }

    /// <summary>
    /// Proposes a step at the next flush: Begin, Cancel, SetState and SetWeight are anybody's to ask for, all others come by
    /// themselves. False if this replica does not lead. Whether it had an effect shows in <see cref="Ownership"/>; ask again if not.
    /// </summary>
    public bool Propose(HandoffStep step) => _handoffs.Ask(step);

    /// <summary>The leader of another shard says something about a move.</summary>
    public void Receive(HandoffMessage message) => _handoffs.Receive(message);

    /// <summary>So many more bytes may be sent to other shards, or purged: handoffs are throttled by how often and how much this is called with.</summary>
    public void AllowHandoffBytes(long bytes) => _handoffs.Allow(bytes, _options.MaxHandoffAllowance);

    /// <summary>A group is retired for ever: moves to it end.</summary>
    public void TargetIsGone(GroupId group) => _handoffs.TargetIsGone(group);

    /// <summary>The moves from this shard as its leader sees them; empty if this replica does not lead.</summary>
    public IReadOnlyList<HandoffProgress> HandoffProgress() => _handoffs.Progress(_machine, _now);

    // After what was applied, so that a step follows the one before at once.
    private bool DriveHandoffs(ClockReading clock)
    {
        var proposed = false;
        foreach (var step in _handoffs.Step(_machine, Raft.Role == Role.Leader ? Raft.Term : null, Raft.AcceptsProposals, HeldByAll, clock.Now, _output.Handoffs))
        {
            var stampMs = _logClock.Stamp(clock);
            if (Raft.Propose(EntryKind.Command, HandoffCodec.Encode(stampMs, step), clock.Now, out var index) == ProposeOutcome.Accepted)
            {
                proposed = true;
                _lastProposed = (index, Raft.Term, stampMs);
                _logClock.Saw(stampMs, clock.Now);
            }
        }

        return proposed;
    }
}
