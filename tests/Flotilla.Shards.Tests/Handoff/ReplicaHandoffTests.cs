using Flotilla.Raft;
using Flotilla.Shards.Handoff;
using Flotilla.Shards.Tests.Harness;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;
using static Flotilla.Shards.Tests.Harness.Words;

namespace Flotilla.Shards.Tests.Handoff;

/// <summary>Two shards of three replicas each, with Raft below: slots move between them while they are written to.</summary>
public sealed class ReplicaHandoffTests
{
    private readonly ReplicaOptions _options = new() { Handoffs = new HandoffOptions { ChunkBytes = 2000, SmallRestBytes = 500, PatienceMs = 10_000, FrozenMs = 3000 } };
    private readonly Fleet _source;
    private readonly Fleet _target;
    private readonly Queue<(Fleet To, HandoffMessage Message)> _messages = [];
    private bool _isCut;

    public ReplicaHandoffTests()
    {
        _source = new Fleet(3, _options, AllSlots);
        _target = new Fleet(3, _options, [], shard: 2);
        foreach (var fleet in (Fleet[])[_source, _target])
        {
            fleet.ToOthers = (shard, message) => _messages.Enqueue((shard.Value == 1 ? _source : _target, message));
            fleet.Until(() => HasLeader(fleet));
        }

        Together(200);
    }

    [Fact]
    public void Slots_move_while_they_are_written_to_and_every_replica_agrees()
    {
        var keys = Enumerable.Range(0, 400).Select(i => $"key-{i}").ToArray();
        foreach (var key in keys)
        {
            _source.Execute(_source.Leader, Command.Put(B(key), B("before")));
        }

        Together(100);
        var slots = SlotSet.Of(AllSlots.Take(8192));
        Begin(slots);
        for (var i = 0; i < 40; i++)
        {
            _source.Execute(_source.Leader, Command.Put(B(keys[i * 7]), B($"during-{i}")));
            Together(2);
        }

        Until(() => _source.Leader.Replica!.Ownership.IsSettled && _source.Leader.Replica.Ownership.ToPurge.IsEmpty);
        Together(200);
        Assert.Equal(8192, _target.Leader.Replica!.Ownership.Slots.Count);
        Assert.Equal(8192, _source.Leader.Replica!.Ownership.Slots.Count);
        var moved = keys.Where(k => slots.Contains(Slot.Of(B(k)))).ToArray();
        Assert.All(moved, k => Assert.Equal(ResultCode.Ok, _target.Result(_target.Get(_target.Leader, k)).Code));
        Assert.All(moved, k => Assert.Equal(2, MovedHint.Of(_source.Result(_source.Get(_source.Leader, k)))?.Shard.Value));
        Assert.Equal(moved.Length, _target.Leader.Replica.Records.Count);
        Assert.Equal(keys.Length - moved.Length, _source.Leader.Replica.Records.Count);
        Assert.All((Fleet[])[_source, _target], f => Assert.Single(f.Nodes.Select(n => n.Replica!.StateDigest()).Distinct()));
    }

    [Theory]
    [InlineData(true)]
    [InlineData(false)]
    [Trait("Hazard", "39")]
    public void A_leader_that_dies_while_slots_are_frozen_is_followed_by_one_that_ends_the_move(bool atSource)
    {
        for (var i = 0; i < 100; i++)
        {
            _source.Execute(_source.Leader, Command.Put(B($"key-{i}"), B("x")));
        }

        Together(100);
        Begin(SlotSet.All);
        Until(() => !_source.Leader.Replica!.Ownership.Frozen.IsEmpty);
        var fleet = atSource ? _source : _target;
        var leader = fleet.Leader;
        leader.Replica = null;
        Until(() => HasLeader(fleet));
        Until(() => _target.Leader.Replica!.Ownership.Slots.Count == Slot.Count && _source.Leader.Replica!.Ownership.IsSettled);
        Assert.Equal("x", Text(_target.Result(_target.Get(_target.Leader, "key-7")).Value));
    }

    [Theory]
    [InlineData(ShardMode.Sync)]
    [InlineData(ShardMode.Chain)]
    [Trait("Hazard", "46")]
    public void In_sync_and_chain_a_source_keeps_its_copies_until_every_in_sync_member_of_the_target_holds_them(ShardMode mode)
    {
        Assert.True(_target.Leader.Replica!.Propose(new HandoffStep.SetMode(mode)));
        Until(() => _target.Nodes.All(n => n.Replica!.Ownership.Mode == mode));
        for (var i = 0; i < 100; i++)
        {
            _source.Execute(_source.Leader, Command.Put(B($"key-{i}"), B("x")));
        }

        Together(100);
        Begin(SlotSet.All);
        Until(() => !_source.Leader.Replica!.Ownership.Frozen.IsEmpty);
        var late = _target.Nodes.Last(n => n != _target.Leader);
        Fleet.Isolate(late);
        Until(() => _target.Leader.Replica!.Ownership.Slots.Count == Slot.Count);

        // Accepted by a majority, and served; but two disks are not all that an acknowledged write of this shard is on.
        Assert.Equal("x", Text(_target.Result(_target.Get(_target.Leader, "key-7")).Value));
        Together(1000);
        Assert.Equal(Slot.Count, _source.Leader.Replica!.Ownership.Frozen.Count);
        Assert.Equal(100, _source.Leader.Replica.Records.Count);

        // The next leader of the target knows it no sooner.
        Assert.True(_target.Leader.Replica!.TransferLeadership(default, _target.Clock(_target.Leader)));
        Together(1000);
        Assert.Equal(Slot.Count, _source.Leader.Replica!.Ownership.Frozen.Count);
        Fleet.Rejoin(late);
        Until(() => _source.Leader.Replica!.Ownership.Slots.Count == 0);
        Assert.Equal(100, late.Log.SelectMany(entry => Enumerable.Range(0, 100).Where(i => entry.Payload.Span.IndexOf(B($"key-{i}")) >= 0)).Distinct().Count());
        Until(() => _source.Leader.Replica!.Ownership.IsSettled);
    }

    [Fact]
    [Trait("Hazard", "44")]
    public void What_a_frozen_slot_answers_and_what_goes_on_meanwhile()
    {
        _source.Result(_source.Execute(_source.Leader, Command.Put(B("{a}x"), B("v"))));
        _source.Result(_source.Execute(_source.Leader, Command.Put(B("{b}x"), B("v"))));
        Begin(SlotSet.Of([Slot.Of(B("{a}"))]));
        Until(() => !_source.Leader.Replica!.Ownership.Frozen.IsEmpty);
        _isCut = true;
        _messages.Clear();
        var applied = _source.Leader.Replica!.LastApplied;
        var refused = _source.Result(_source.Execute(_source.Leader, Command.Put(B("{a}x"), B("w"))));
        Assert.Equal(ResultCode.SlotMoving, refused.Code);
        Assert.Equal(2, MovedHint.Ahead(in refused)?.Shard.Value);
        Assert.Null(MovedHint.Of(in refused)); // The target may never get it.
        Assert.Equal(applied, _source.Leader.Replica.LastApplied); // It cost no entry.
        Assert.Equal(ResultCode.SlotMoving, _source.Result(_source.Get(_source.Leader, "{a}x")).Code);
        Assert.Equal(ResultCode.Ok, _source.Result(_source.Get(_source.Leader, "{a}x", stale: true)).Code);
        Assert.Equal(ResultCode.Ok, _source.Result(_source.Execute(_source.Leader, Command.Put(B("{b}x"), B("w")))).Code);
        var page = Page(_source.Scan(_source.Leader, ScanOf()));
        Assert.Equal("{b}x", Keys(page));
        Assert.Equal(SlotSet.All.Except(SlotSet.Of([Slot.Of(B("{a}"))])), page.Slots);
        var stale = Page(_source.Scan(_source.Leader, ScanOf(), stale: true));
        Assert.Equal("{a}x {b}x", Keys(stale));
        Assert.Equal(Slot.Count, stale.Slots.Count);
        Assert.Equal(HandoffStage.Deciding, Assert.Single(_source.Leader.Replica!.HandoffProgress()).Stage);
        Together(4000);
        _isCut = false;
        Until(() => _source.Leader.Replica!.Ownership.Frozen.IsEmpty); // Aborted: it has been frozen for too long.
        Assert.Equal("v", Text(_source.Result(_source.Get(_source.Leader, "{a}x")).Value));
    }

    [Fact]
    public void An_idle_shard_is_not_woken_by_handoffs()
    {
        var before = _source.NowMicroseconds;
        Assert.True(_source.Leader.Replica!.NextDeadline > _source.Now);
        Assert.Equal(before, _source.NowMicroseconds);
        Assert.False(_source.Nodes.First(n => n != _source.Leader).Replica!.Propose(new HandoffStep.SetWeight(50)));
    }

    private static bool HasLeader(Fleet fleet) => fleet.Nodes.Count(n => n.Replica is { Raft.AcceptsProposals: true }) == 1;

    private ScanPage Page(RequestId id)
    {
        _source.Until(() => _source.Pages.ContainsKey(id));
        return _source.Pages[id];
    }

    private void Begin(SlotSet slots)
    {
        Assert.True(_source.Leader.Replica!.Propose(new HandoffStep.Begin(_source.Genesis.Group, _target.Genesis.Shard, _target.Genesis.Group, SlotEpochs.Of(slots, SlotEpoch.First))));
        _source.Step(_source.Leader);
    }

    private void Until(Func<bool> condition)
    {
        for (var ms = 0; !(HasLeader(_source) && HasLeader(_target) && condition()); ms++)
        {
            Assert.True(ms < 20_000, $"It did not come true: {string.Join("; ", _source.Nodes.SelectMany(n => n.Replica?.HandoffProgress() ?? []))}");
            Together(1);
        }
    }

    // Both shards' time passes alike; messages between them take a millisecond, and go to whoever leads.
    private void Together(int ms)
    {
        for (; ms > 0; ms--)
        {
            for (var n = _messages.Count; n > 0; n--)
            {
                var (to, message) = _messages.Dequeue();
                foreach (var node in to.Nodes.Where(x => !_isCut && x.Replica is { Raft.AcceptsProposals: true }))
                {
                    node.Replica!.Receive(message);
                    to.Step(node);
                }
            }

            foreach (var fleet in (Fleet[])[_source, _target])
            {
                fleet.Run(1);
                foreach (var node in fleet.Nodes.Where(x => x.Replica is { Raft.AcceptsProposals: true }))
                {
                    node.Replica!.AllowHandoffBytes(100_000);
                    fleet.Step(node);
                }
            }
        }
    }
}
