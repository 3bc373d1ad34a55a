using Flotilla.Node.Cluster;
using Flotilla.Node.Loops;
using Flotilla.Node.Peers;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;
using Flotilla.Wire.Peers;

namespace Flotilla.Node.Tests.Parts;

public sealed class RoutingTests
{
    private static readonly NodeId A = new("a");
    private static readonly NodeId B = new("b");
    private static readonly NodeId C = new("c");

    [Fact]
    public void A_newer_term_wins_in_whatever_order_claims_arrive()
    {
        var route = Route();
        Assert.True(route.Merge(new Term(5), B, source: B, self: A));
        Assert.False(route.Merge(new Term(4), C, source: C, self: A));
        Assert.Equal(B, route.Leader.Leader);
        Assert.True(route.Merge(new Term(6), default, source: C, self: A));
        Assert.True(route.Leader.Leader.IsNone);
        Assert.True(route.Merge(new Term(6), C, source: B, self: A));
        Assert.Equal(C, route.Leader.Leader);
    }

    [Fact]
    public void Only_the_leader_itself_may_say_that_it_resigned_and_only_this_node_that_it_leads()
    {
        var route = Route();
        route.Merge(new Term(5), B, source: B, self: A);
        Assert.False(route.Merge(new Term(5), default, source: C, self: A));
        Assert.True(route.Merge(new Term(5), default, source: B, self: A));
        Assert.False(route.Merge(new Term(5), A, source: C, self: A));
        Assert.True(route.Merge(new Term(5), A, source: A, self: A));
        Assert.Equal(A, route.Leader.Leader);
    }

    [Fact]
    public void Another_group_under_the_same_number_says_nothing_of_who_leads_a_shard()
    {
        var cluster = new ClusterState(A, isRouter: false, static _ => true, static () => 0);
        var route = Route();
        cluster.Publish(new RoutingTable(1, [route]));
        var own = new ShardKey(route.Shard, route.Group.Value);
        cluster.LearnLeader(own, new Term(5), B, source: default);
        cluster.LearnLeader(own with { Group = own.Group + 1 }, new Term(9), A, source: A);
        Assert.Equal((new Term(5), B), (route.Leader.Term, route.Leader.Leader));
        cluster.LearnLeader(own, new Term(6), A, source: A);
        Assert.Equal((new Term(6), A), (route.Leader.Term, route.Leader.Leader));
    }

    [Fact]
    public void News_wake_whoever_waits_for_them()
    {
        var route = Route();
        var seen = route.Leader;
        Assert.False(seen.Superseded.IsCompleted);
        route.Merge(new Term(1), B, source: B, self: A);
        Assert.True(seen.Superseded.IsCompleted);
        seen = route.Leader;
        route.WakeWaiters();
        Assert.True(seen.Superseded.IsCompleted);
        Assert.Equal(seen.Leader, route.Leader.Leader);
    }

    [Fact]
    public void A_table_finds_the_shard_of_a_key()
    {
        var table = new RoutingTable(1, [Route(1, (0, 8191)), Route(2, (8192, 16383))]);
        Assert.Equal(Slot.Of("k"u8).Value < 8192 ? 1 : 2, table.Of("k"u8)!.Shard.Value);
        Assert.Null(RoutingTable.Empty.Of("k"u8));
        Assert.Null(table.Of(new ShardId(3)));
    }

    [Fact]
    public void An_overfull_queue_drops_the_oldest_messages_and_refuses_calls()
    {
        var queue = new OutboundQueue(1000);
        for (ulong i = 0; i < 100; i++)
        {
            queue.Add(new GroupId(1), new TimeoutNow(new Term(i)));
        }

        // Messages leave the room of calls alone, and calls that of messages.
        var call = CallRequest.Get(1, new ShardId(1), 0, 1000, new byte[900], false);
        Assert.True(queue.TryAdd(call));
        Assert.False(queue.TryAdd(call));
        var frame = queue.TakeAll();
        Assert.Equal(15, frame.Messages.Count);
        Assert.Equal(new Term(99), frame.Messages[^1].Message.Term);
        Assert.Single(frame.Requests);
        Assert.True(queue.TryAdd(call));
        Assert.Single(queue.TakeAll().Requests);
        Assert.True(queue.TakeAll().IsEmpty);
    }

    [Fact]
    public async Task A_signal_that_came_before_the_wait_is_kept_and_several_count_as_one()
    {
        var signal = new AsyncSignal();
        signal.Set();
        signal.Set();
        await signal.WaitAsync();
        var wait = signal.WaitAsync();
        Assert.False(wait.IsCompleted);
        signal.Set();
        await wait;
    }

    [Fact]
    public void A_request_id_finds_its_call_once()
    {
        var table = new CallTable();
        var calls = Enumerable.Range(0, 1000).Select(_ => new LocalScan(default, false, default)).ToArray();
        var ids = calls.Select(table.Add).ToArray();
        Assert.Same(calls[500], table.Remove(ids[500]));
        Assert.Null(table.Remove(ids[500]));
        var reused = table.Add(calls[500]);
        Assert.NotEqual(ids[500], reused);
        Assert.Null(table.Remove(ids[500]));
        Assert.Equal(1000, table.Count);
        Assert.Equal(1000, table.RemoveAll().Count);
        Assert.Equal(0, table.Count);
    }

    private static ShardRoute Route(int shard = 1, params (int First, int Last)[] ranges) =>
        new(new ShardId(shard), new GroupId((ulong)shard), ShardMembers.First([A, B, C]), SlotSet.Of(ranges.Select(r => SlotRange.Of(r.First, r.Last))), local: null);
}
