using Flotilla.Raft;
using Flotilla.Shards.Tests.Harness;
using Flotilla.Topology;
using static Flotilla.Shards.Tests.Harness.Words;

namespace Flotilla.Shards.Tests;

/// <summary>Entries that are read back from the disk, and the disk that lags behind the log.</summary>
public sealed class ReplicaFetchTests
{
    private static readonly NodeId[] Nodes = [new("n1"), new("n2"), new("n3")];
    private static readonly ClockReading Clock = new(new Instant(1_000_000), 1_700_000_000_000);

    [Fact]
    [Trait("Hazard", "6")]
    public void A_restarted_replica_never_fetches_an_entry_that_was_replaced_in_memory_but_not_yet_on_disk()
    {
        // Found by the simulator: the disk was asked for everything up to the commit index, while it still held entries of a
        // term that had lost; they were applied. Here the disk holds three entries of term 1 and two of term 2 that lost.
        var replica = Restarted(new RaftRecovery(
            new HardState(new Term(3), default, LogIndex.Zero),
            new IdentityState(true, [new KnownPeer(Nodes[0], new Incarnation(1), true), new KnownPeer(Nodes[1], new Incarnation(2), true)]),
            new LogIndex(5),
            [(new LogIndex(1), new Term(1)), (new LogIndex(4), new Term(2))]));

        // The leader of term 3 replaces the last two, adds one, and all is committed.
        Entry[] entries = [.. Enumerable.Range(4, 3).Select(i => Put(i, 3, "kept"))];
        replica.Receive(Nodes[0], new Incarnation(1), new AppendEntries(new Term(3), new LogIndex(3), new Term(1), entries, new LogIndex(6), 1), Clock);
        var fetch = Assert.Single(replica.Flush(Clock).Effects.OfType<Effect.Fetch>());
        Assert.Equal((new LogIndex(1), new LogIndex(3)), (fetch.From, fetch.Through));

        replica.EntriesFetched(fetch.To, [.. Enumerable.Range(1, 3).Select(i => Put(i, 1, "old"))], Clock);
        replica.Flush(Clock);
        Assert.Equal(new LogIndex(6), replica.LastApplied);
        replica.Get(new RequestId(1), B("k"), stale: true, Clock.Now.PlusMs(100), Clock);
        Assert.Equal("kept", Text(Assert.Single(replica.Flush(Clock).Replies).Result.Value));
    }

    [Fact]
    [Trait("Hazard", "11")]
    public void An_entry_from_the_disk_that_is_not_the_one_in_the_log_is_never_applied()
    {
        var replica = Restarted(new RaftRecovery(
            new HardState(new Term(1), default, new LogIndex(2)),
            new IdentityState(true, [new KnownPeer(Nodes[0], new Incarnation(1), true)]),
            new LogIndex(2),
            [(new LogIndex(1), new Term(1))]));
        var fetch = Assert.Single(replica.Flush(Clock).Effects.OfType<Effect.Fetch>());
        replica.EntriesFetched(fetch.To, [Put(1, 7, "alien")], Clock);
        Assert.Throws<InvalidOperationException>(() => replica.Flush(Clock));
        Assert.Equal(LogIndex.Zero, replica.LastApplied);
    }

    private static Replica Restarted(RaftRecovery recovered) =>
        new(new ShardGenesis(new ShardId(1), new GroupId(7), Nodes, AllSlots), Nodes[2], new Incarnation(3), new ReplicaOptions(), recovered, 1, Clock);

    private static Entry Put(int index, int term, string value) =>
        new(new LogIndex((ulong)index), new Term((ulong)term), EntryKind.Command, CommandCodec.Encode(Clock.WallMs, [Command.Put(B("k"), B(value))]));
}
