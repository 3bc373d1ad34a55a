using Flotilla.Raft;
using Flotilla.Shards.Handoff;
using Flotilla.Shards.Modes;
using Flotilla.Shards.Tests.Harness;
using Flotilla.Topology.Descriptors;
using static Flotilla.Shards.Tests.Harness.Words;

namespace Flotilla.Shards.Tests.Modes;

/// <summary>The mode chain: as sync, and entries travel from one replica to the next.</summary>
public sealed class ChainModeTests
{
    private static readonly ReplicaOptions Strict = new() { HealAfterMs = 0 };

    [Fact]
    public void The_chain_begins_with_the_leader_and_goes_round_by_ids_whatever_the_order_of_the_set()
    {
        NodeId[] ids = [.. Enumerable.Range(1, 5).Select(i => new NodeId($"n{i}"))];
        Assert.Equal("n3 n4 n5 n1 n2", string.Join(' ', ChainOrder.Of(ids[2], ids)));
        Assert.Equal(ChainOrder.Of(ids[2], ids), ChainOrder.Of(ids[2], ids.Reverse()));
        Assert.Equal("n1 n2 n3 n4 n5", string.Join(' ', ChainOrder.Of(ids[0], ids)));
        Assert.Equal(ids[1], ChainOrder.TailOf(ids[2], ids));
        Assert.Equal(ids[4], ChainOrder.BeforeOf(ids[0], ids[2], ids));
        Assert.True(ChainOrder.BeforeOf(ids[2], ids[2], ids).IsNone);

        // A leader that was taken out by an earlier one has yet to be put back, and who is out has no place.
        Assert.Equal("n3 n5 n1", string.Join(' ', ChainOrder.Of(ids[2], [ids[0], ids[4]])));
        Assert.True(ChainOrder.BeforeOf(ids[1], ids[2], [ids[0], ids[4]]).IsNone);
        Assert.Equal("n3", string.Join(' ', ChainOrder.Of(ids[2], [])));
    }

    [Fact]
    public void The_leader_sends_every_entry_once_and_each_member_passes_it_on_to_the_next()
    {
        var fleet = InChain(5);
        var carried = Carried(fleet);
        for (var i = 0; i < 20; i++)
        {
            Assert.Equal(ResultCode.Ok, fleet.Result(fleet.Execute(fleet.Leader, Command.Put(B($"k{i}"), B("v")))).Code);
        }

        var chain = fleet.Leader.Replica!.Chain;
        Assert.Equal(5, chain.Count);
        Assert.Equal(chain.Zip(chain.Skip(1)).Order(), carried.Keys.Order());
        Assert.All(carried.Values, count => Assert.Equal(20, count));
    }

    [Fact]
    [Trait("Hazard", "47")]
    public void A_write_is_acknowledged_once_the_tail_holds_it_on_disk_and_is_on_all_disks_then()
    {
        var fleet = InChain(5, Strict);
        var tail = Tail(fleet);
        tail.DiskHangs = true;
        var write = fleet.Execute(fleet.Leader, Command.Put(B("k"), B("v")), deadlineMs: 900);
        fleet.Run(500);
        Assert.Null(fleet.Code(write));
        Assert.Equal("v", Text(fleet.Leader.Replica!.Records.TryGet(B("k"), out var record) ? record.Value : default));
        Assert.Equal(4, fleet.Nodes.Count(node => node.Log.Any(Holds("v"))));
        Assert.Equal(ResultCode.Indeterminate, fleet.Result(write).Code);
    }

    [Fact]
    [Trait("Hazard", "47")]
    public void A_relay_that_is_cut_off_from_the_next_delays_a_write_and_fails_none()
    {
        var fleet = InChain(4, Strict);
        var chain = fleet.Leader.Replica!.Chain;
        fleet.CutLinks.Add((chain[1], chain[2]));
        fleet.CutLinks.Add((chain[2], chain[1]));
        var carried = Carried(fleet);
        Assert.Equal(ResultCode.Ok, fleet.Result(fleet.Execute(fleet.Leader, Command.Put(B("k0"), B("v")), deadlineMs: 200)).Code);
        Assert.Equal([chain[2], chain[3]], fleet.Leader.Replica!.Raft.FedAround);
        for (var i = 1; i < 20; i++)
        {
            // Nobody waits for the broken link while the leader goes round it.
            var asked = fleet.Now;
            Assert.Equal(ResultCode.Ok, fleet.Result(fleet.Execute(fleet.Leader, Command.Put(B($"k{i}"), B("v")), deadlineMs: 200)).Code);
            Assert.True(fleet.Now.MsSince(asked) < 10);
        }

        Assert.DoesNotContain((chain[2], chain[3]), carried.Keys);

        // It is tried again ever more rarely, and once it is whole the chain is.
        fleet.Run(3000);
        fleet.CutLinks.Clear();
        fleet.Run(3000);
        carried.Clear();
        Assert.Equal(ResultCode.Ok, fleet.Result(fleet.Execute(fleet.Leader, Command.Put(B("last"), B("v")))).Code);
        Assert.Equal(chain.Zip(chain.Skip(1)).Order(), carried.Keys.Order());
        Assert.Empty(fleet.Leader.Replica!.Raft.FedAround);
    }

    [Theory]
    [InlineData(1)]
    [InlineData(2)]
    [InlineData(3)]
    [Trait("Hazard", "46")]
    [Trait("Hazard", "47")]
    public void A_dead_link_of_the_chain_refuses_writes_by_name_and_the_chain_closes_around_it_after_heal_after(int place)
    {
        var fleet = InChain(4, new ReplicaOptions { HealAfterMs = 2000 });
        var chain = fleet.Leader.Replica!.Chain;
        var dead = fleet.Nodes.Single(node => node.Id == chain[place]);
        Fleet.Kill(dead);
        fleet.Run(150);
        var logs = fleet.Nodes.Where(node => node != dead).Select(node => node.Replica!.Raft.Log.LastIndex).ToArray();
        var refused = fleet.Execute(fleet.Leader, Command.Put(B("k"), B("1")));
        Assert.Equal((ResultCode.ReplicaUnavailable, dead.Id.Value), (fleet.Code(refused), Text(fleet.Answers[refused].Value)));
        Assert.Equal(chain[place - 1], fleet.Leader.Replica!.LinkTo(dead.Id));
        Assert.Equal(logs, fleet.Nodes.Where(node => node != dead).Select(node => node.Replica!.Raft.Log.LastIndex));

        fleet.Until(() => fleet.Leader.Replica!.Chain.Count == 3);
        Assert.Equal(chain.Where(id => id != dead.Id), fleet.Leader.Replica!.Chain);
        fleet.Run(2000);
        var carried = Carried(fleet);
        Assert.Equal(ResultCode.Ok, fleet.Result(fleet.Execute(fleet.Leader, Command.Put(B("k"), B("2")))).Code);
        Assert.Equal(fleet.Leader.Replica!.Chain.Zip(fleet.Leader.Replica!.Chain.Skip(1)).Order(), carried.Keys.Order());

        // Back, it is fed by the leader until it counts, and then has its place.
        fleet.Start(dead);
        fleet.Until(() => fleet.Leader.Replica!.Chain.Count == 4);
        Assert.Equal(chain, fleet.Leader.Replica!.Chain);
        fleet.Run(2000);
        carried.Clear();
        Assert.Equal(ResultCode.Ok, fleet.Result(fleet.Execute(fleet.Leader, Command.Put(B("k"), B("3")))).Code);
        Assert.Equal(chain.Zip(chain.Skip(1)).Order(), carried.Keys.Order());
        Assert.Equal("3", Text(fleet.Result(fleet.Get(dead, "k")).Value));
    }

    [Fact]
    [Trait("Hazard", "48")]
    [Trait("Hazard", "49")]
    public void An_old_head_and_an_old_tail_answer_nobody_once_there_is_a_newer_leader()
    {
        var fleet = InChain(5, Strict);
        Assert.Equal(ResultCode.Ok, fleet.Result(fleet.Execute(fleet.Leader, Command.Put(B("k"), B("old")))).Code);
        var head = fleet.Leader;
        var chain = head.Replica!.Chain;
        var tail = Tail(fleet);

        // The old head and the old tail see each other alone.
        foreach (var node in fleet.Nodes.Where(node => node != head && node != tail))
        {
            foreach (var lost in new[] { head, tail })
            {
                fleet.CutLinks.Add((lost.Id, node.Id));
                fleet.CutLinks.Add((node.Id, lost.Id));
            }
        }

        var stale = fleet.Execute(head, Command.Put(B("k"), B("stale")), deadlineMs: 3000);
        fleet.Until(() => fleet.Nodes.Any(node => node != head && node.Replica!.Raft.AcceptsProposals));
        var next = fleet.Nodes.Single(node => node != head && node.Replica!.Raft.AcceptsProposals);

        // In raft again the majority goes on; what the old head was told never counts.
        Assert.True(next.Replica!.Propose(new HandoffStep.SetMode(ShardMode.Raft)));
        fleet.Step(next);
        fleet.Until(() => next.Replica!.Ownership.Mode == ShardMode.Raft);
        Assert.Equal(ResultCode.Ok, fleet.Result(fleet.Execute(next, Command.Put(B("k"), B("new")))).Code);
        Assert.NotEqual(ResultCode.Ok, fleet.Result(stale).Code);
        Assert.NotEqual(ResultCode.Ok, fleet.Result(fleet.Get(head, "k", deadlineMs: 1000)).Code);
        Assert.NotEqual(ResultCode.Ok, fleet.Result(fleet.Get(tail, "k", deadlineMs: 1000)).Code);
        Assert.NotEqual(ResultCode.Ok, fleet.Result(fleet.Execute(head, Command.Put(B("k"), B("stale")), deadlineMs: 1000)).Code);
        fleet.CutLinks.Clear();
        fleet.Until(() => fleet.Nodes.All(node => node.Replica!.LastApplied == next.Replica!.LastApplied && node.Replica!.Raft.Leader == next.Id));
        Assert.Equal("new", Text(fleet.Result(fleet.Get(tail, "k")).Value));
        Assert.Equal(5, chain.Count);
    }

    [Fact]
    [Trait("Hazard", "45")]
    [Trait("Hazard", "46")]
    public void What_was_acknowledged_survives_any_two_leaders_that_die_one_after_the_other()
    {
        for (var seed = 0; seed < 6; seed++)
        {
            var fleet = InChain(3, new ReplicaOptions { HealAfterMs = 1000 });
            var acknowledged = new List<string>();
            for (var round = 0; round < 4; round++)
            {
                var leader = fleet.Leader;
                var writes = Enumerable.Range(0, 6).Select(i => (Key: $"k{round}-{i}", Id: fleet.Execute(leader, Command.Put(B($"k{round}-{i}"), B("v")), deadlineMs: 1500))).ToArray();
                fleet.Run((seed * 0.4) + (round * 0.3));
                Fleet.Kill(leader);
                fleet.Until(() => fleet.Nodes.Any(node => node.Replica is { Raft.AcceptsProposals: true }));
                fleet.Start(leader);
                fleet.Run(2500);
                acknowledged.AddRange(writes.Where(write => fleet.Code(write.Id) == ResultCode.Ok).Select(write => write.Key));
                acknowledged.Add($"sure{round}");
                Assert.Equal(ResultCode.Ok, fleet.Result(fleet.Execute(fleet.Leader, Command.Put(B($"sure{round}"), B("v")))).Code);
                foreach (var key in acknowledged)
                {
                    Assert.Equal(ResultCode.Ok, fleet.Result(fleet.Get(Tail(fleet), key)).Code);
                }
            }
        }
    }

    [Fact]
    public void The_next_leader_makes_a_chain_of_its_own_from_itself_on()
    {
        var fleet = InChain(3);
        var before = fleet.Leader;
        var successor = fleet.Nodes.Last(node => node != before);
        Assert.True(before.Replica!.TransferLeadership(successor.Id, fleet.Clock(before)));
        fleet.Step(before);
        fleet.Until(() => successor.Replica!.Raft.AcceptsProposals);
        fleet.Until(() => successor.Replica!.LastApplied >= successor.Replica!.Raft.CommitIndex);
        Assert.Equal(ChainOrder.Of(successor.Id, fleet.Genesis.Voters), successor.Replica!.Chain);
        Assert.Empty(before.Replica!.Chain);
        Assert.Empty(before.Replica!.Raft.Chain);
        fleet.Run(200);
        var carried = Carried(fleet);
        Assert.Equal(ResultCode.Ok, fleet.Result(fleet.Execute(successor, Command.Put(B("k"), B("v")))).Code);
        Assert.Equal(successor.Replica!.Chain.Zip(successor.Replica!.Chain.Skip(1)).Order(), carried.Keys.Order());
    }

    [Fact]
    public void Back_in_raft_or_sync_the_leader_sends_to_everybody_itself()
    {
        var fleet = InChain(3);
        foreach (var mode in new[] { ShardMode.Sync, ShardMode.Chain, ShardMode.Raft })
        {
            Switch(fleet, mode);
            fleet.Run(200);
            var carried = Carried(fleet);
            Assert.Equal(ResultCode.Ok, fleet.Result(fleet.Execute(fleet.Leader, Command.Put(B("k"), B("v")))).Code);
            Assert.Equal(mode == ShardMode.Chain ? 1 : 2, carried.Keys.Count(link => link.Item1 == fleet.Leader.Id));
        }
    }

    [Fact]
    public void A_member_that_needs_a_snapshot_gets_it_from_the_leader_and_then_its_place()
    {
        var raft = new RaftOptions { LogTailBytes = 0 };
        var fleet = InChain(3, new ReplicaOptions { HealAfterMs = 1000, Raft = raft });
        var away = fleet.Nodes.Single(node => node.Id == fleet.Leader.Replica!.Chain[1]);
        Fleet.Kill(away);
        fleet.Until(() => fleet.Leader.Replica!.InSync.Count == 2);
        for (var i = 0; i < 50; i++)
        {
            Assert.Equal(ResultCode.Ok, fleet.Result(fleet.Execute(fleet.Leader, Command.Put(B($"k{i}"), B("v")))).Code);
        }

        var leader = fleet.Leader;
        leader.Replica!.AskForSnapshot();
        Assert.Equal(ResultCode.Ok, fleet.Result(fleet.Execute(leader, Command.Put(B("k"), B("v")))).Code);
        fleet.Until(() => leader.Base.Index > LogIndex.Zero);
        fleet.Start(away);
        fleet.Until(() => fleet.Leader.Replica!.InSync.Count == 3);
        Assert.True(away.SnapshotsInstalled > 0);
        fleet.Run(2000);
        var carried = Carried(fleet);
        Assert.Equal(ResultCode.Ok, fleet.Result(fleet.Execute(fleet.Leader, Command.Put(B("k"), B("w")))).Code);
        Assert.Equal(fleet.Leader.Replica!.Chain.Zip(fleet.Leader.Replica!.Chain.Skip(1)).Order(), carried.Keys.Order());
    }

    [Fact]
    public void Reads_at_the_tail_see_every_acknowledged_write()
    {
        var fleet = InChain(4);
        for (var i = 0; i < 30; i++)
        {
            Assert.Equal(ResultCode.Ok, fleet.Result(fleet.Execute(fleet.Leader, Command.Put(B("k"), B($"{i}")))).Code);
            Assert.Equal($"{i}", Text(fleet.Result(fleet.Get(Tail(fleet), "k")).Value));
        }
    }

    private static Func<Entry, bool> Holds(string text) => entry => entry.Kind == EntryKind.Command && entry.Payload.Span.IndexOf(B(text).AsSpan()) >= 0;

    private static FleetNode Tail(Fleet fleet) => fleet.Nodes.Single(node => node.Id == fleet.Leader.Replica!.Chain[^1]);

    /// <summary>How many messages with entries arrive over each link from now on.</summary>
    private static Dictionary<(NodeId, NodeId), int> Carried(Fleet fleet)
    {
        var carried = new Dictionary<(NodeId, NodeId), int>();
        fleet.Delivered = (from, to, message) =>
        {
            if (message is AppendEntries { Entries.Count: > 0 })
            {
                carried[(from, to)] = carried.GetValueOrDefault((from, to)) + 1;
            }
        };
        return carried;
    }

    private static Fleet InChain(int nodes, ReplicaOptions? options = null)
    {
        var fleet = Fleet.Led(nodes, options);
        fleet.Until(() => fleet.Nodes.All(n => n.Replica!.Raft.CommitIndex == fleet.Leader.Replica!.Raft.CommitIndex));
        Switch(fleet, ShardMode.Chain);
        fleet.Run(100);
        return fleet;
    }

    private static void Switch(Fleet fleet, ShardMode mode)
    {
        var leader = fleet.Leader;
        Assert.True(leader.Replica!.Propose(new HandoffStep.SetMode(mode)));
        fleet.Step(leader);
        fleet.Until(() => leader.Replica!.Ownership.Mode == mode);
    }
}
