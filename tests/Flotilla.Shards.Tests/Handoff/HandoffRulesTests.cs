using Flotilla.Data;
using Flotilla.Raft;
using Flotilla.Shards.Handoff;
using Flotilla.Shards.Tests.Harness;
using Flotilla.Shards.Tests.Image;
using Flotilla.Topology;
using Flotilla.Topology.Descriptors;
using static Flotilla.Shards.Tests.Harness.Words;

namespace Flotilla.Shards.Tests.Handoff;

/// <summary>Steps of handoffs applied to one log, without any driver.</summary>
public sealed class HandoffRulesTests
{
    private static readonly GroupId Here = new(7);
    private static readonly GroupId There = new(8);
    private static readonly Slot A = Slot.Of("{a}"u8);
    private static readonly Slot B1 = Slot.Of("{b}"u8);
    private static readonly Attempt First = new(new Term(3), 1);
    private static readonly Attempt Second = new(new Term(4), 1);

    [Fact]
    [Trait("Hazard", "42")]
    public void An_abort_of_a_move_never_heard_of_is_kept_and_refuses_it_from_then_on()
    {
        var log = new LogOf(new BTree(), [B1]);
        var id = new HandoffId(There, new LogIndex(5));
        Assert.True(Take(log, new HandoffStep.Abort(id)));
        Assert.False(Take(log, Open(id, First)));
        Assert.False(Take(log, new HandoffStep.Abort(id)));
        Assert.True(Take(log, Open(new HandoffId(There, new LogIndex(6)), First)));
        Assert.True(Take(log, new HandoffStep.Settle(There, new LogIndex(5))));
        Assert.Equal([new HandoffId(There, new LogIndex(6))], log.Machine.Ownership.Incoming.Select(m => m.Id));
        Assert.False(Take(log, new HandoffStep.Abort(id)));
        Assert.False(Take(log, Open(id, Second)));
    }

    [Fact]
    [Trait("Hazard", "42")]
    public void Only_the_next_chunk_of_the_newest_attempt_is_staged()
    {
        var log = new LogOf(new BTree(), [B1]);
        var id = new HandoffId(There, new LogIndex(5));
        Assert.False(Take(log, Stage(id, First, 0, "{a}x")));
        Assert.True(Take(log, Open(id, First)));
        Assert.False(Take(log, Stage(id, First, 1, "{a}x")));
        Assert.True(Take(log, Stage(id, First, 0, "{a}x")));
        Assert.False(Take(log, Stage(id, First, 0, "{a}x")));
        Assert.True(Take(log, Open(id, Second)));
        Assert.False(Take(log, Open(id, First)));
        Assert.False(Take(log, Stage(id, First, 1, "{a}y")));
        Assert.False(Take(log, Stage(id, Second, 0, "{b}of another slot")));
        Assert.True(Take(log, Stage(id, Second, 0, "{a}y")));
        Assert.Equal(2, log.Machine.Records.Count);
        Assert.Equal("NotOwner", log.Get("{a}x"));
    }

    [Fact]
    [Trait("Hazard", "38")]
    public void What_is_staged_is_accepted_only_if_it_is_exactly_what_was_frozen()
    {
        var log = new LogOf(new BTree(), [B1]);
        var id = new HandoffId(There, new LogIndex(5));
        Take(log, Open(id, First));
        Take(log, Stage(id, First, 0, "{a}x"));
        var right = ItemDigest.OfMove(Slots(1, A), [ItemDigest.OfRecord("{a}x"u8, "v"u8, new(1, 0, 9, 0), 0)], 0, 5000);
        Assert.False(Take(log, new HandoffStep.Accept(id, First, 1, right, 5000))); // Not prepared.
        Assert.True(Take(log, new HandoffStep.Prepare(id, First)));
        Assert.False(Take(log, new HandoffStep.Accept(id, First, 1, right + 1, 5000)));
        Assert.False(Take(log, new HandoffStep.Accept(id, First, 2, right, 5000)));
        Assert.False(Take(log, new HandoffStep.Accept(id, First, 1, right, 5001)));
        Assert.False(Take(log, new HandoffStep.Accept(id, Second, 1, right, 5000)));
        Assert.True(Take(log, new HandoffStep.Accept(id, First, 1, right, 5000)));
        Assert.Equal(5000, log.Machine.LogTimeMs);
        Assert.Equal("v", log.Get("{a}x"));
        Assert.Equal(2u, log.Machine.Ownership.Slots[A].Value);
        Assert.False(Take(log, new HandoffStep.Abort(id)));
    }

    [Fact]
    [Trait("Hazard", "40")]
    public void A_slot_begins_to_move_once_and_only_under_the_epoch_that_it_has()
    {
        var log = new LogOf(new BTree(), [A, B1]);
        Assert.False(Take(log, new HandoffStep.Begin(Here, new ShardId(2), There, Slots(2, A))));
        Assert.False(Take(log, new HandoffStep.Begin(Here, new ShardId(1), Here, Slots(1, A))));
        Assert.True(Take(log, new HandoffStep.Begin(Here, new ShardId(2), There, Slots(1, A))));
        var move = log.Machine.LastApplied;
        Assert.False(Take(log, new HandoffStep.Begin(Here, new ShardId(3), new GroupId(9), Slots(1, A, B1))));
        Assert.False(Take(log, new HandoffStep.Begin(There, new ShardId(3), new GroupId(9), Slots(1, B1))));
        Assert.False(Take(log, new HandoffStep.Release(move)));
        Assert.False(Take(log, new HandoffStep.Unfreeze(move)));
        Assert.True(Take(log, new HandoffStep.Freeze(move)));
        Assert.False(Take(log, new HandoffStep.Cancel(move)));
        Assert.False(Take(log, new HandoffStep.Close(move)));
        Assert.True(Take(log, new HandoffStep.Unfreeze(move)));
        Assert.False(Take(log, new HandoffStep.Release(move)));
        Assert.True(Take(log, new HandoffStep.Begin(Here, new ShardId(3), new GroupId(9), Slots(1, A, B1))));
        Assert.True(Take(log, new HandoffStep.Close(move)));
    }

    [Fact]
    public void A_shard_that_leaves_takes_nothing_in_and_retires_with_nothing_owed()
    {
        var log = new LogOf(new BTree(), []);
        Assert.Equal(ShardState.Joining, log.Machine.Ownership.State);
        Assert.True(Take(log, new HandoffStep.SetState(ShardState.Active)));
        Assert.False(Take(log, new HandoffStep.SetState(ShardState.Joining)));
        var id = new HandoffId(There, new LogIndex(5));
        Assert.True(Take(log, Open(id, First)));
        Assert.True(Take(log, new HandoffStep.SetState(ShardState.Leaving)));
        Assert.False(Take(log, new HandoffStep.Prepare(id, First)));
        Assert.False(Take(log, Open(new HandoffId(There, new LogIndex(6)), First)));
        Assert.False(Take(log, new HandoffStep.SetState(ShardState.Retired)));
        Assert.True(Take(log, new HandoffStep.Settle(There, new LogIndex(5))));
        Assert.True(Take(log, new HandoffStep.SetState(ShardState.Retired)));
        Assert.False(Take(log, new HandoffStep.SetState(ShardState.Active)));
        Assert.False(Take(log, Open(new HandoffId(There, new LogIndex(7)), First)));
    }

    [Fact]
    [Trait("Hazard", "26")]
    public void A_table_full_of_copied_sessions_opens_no_new_one_and_still_accepts()
    {
        var source = new Shard(1, new HandoffOptions(), [A, B1]);
        var target = new Shard(2, new HandoffOptions(), []);
        var terms = SessionTerms.Default with { MaxSessions = 2 };
        foreach (var shard in (Shard[])[source, target])
        {
            shard.Propose(CommandCodec.Encode(1000, [Opening(terms), Opening(terms)]));
            shard.Commit();
        }

        source.Propose(HandoffCodec.Encode(1000, new HandoffStep.Begin(source.Group, target.Id, target.Group, Slots(1, A))));
        Pair.Run(source, target);
        Assert.Equal(2u, target.Machine.Ownership.Slots[A].Value);
        Assert.Equal(4, target.Machine.SessionCount);
        ResultCode? code = null;
        target.Propose(CommandCodec.Encode(1000, [Opening(terms)]), results => code = results![0].Code);
        target.Commit();
        Assert.Equal(ResultCode.Overloaded, code);
        Assert.Equal(target.Machine.StateDigest(), Images.Restored(target.Machine).StateDigest());
    }

    [Fact]
    [Trait("Hazard", "26")]
    public void An_image_taken_at_any_step_behaves_as_the_state_it_was_taken_of()
    {
        var source = new Shard(1, new HandoffOptions { ChunkBytes = 60, PurgeLooks = 2 }, [A, B1]);
        var target = new Shard(2, new HandoffOptions { ChunkBytes = 60, PurgeLooks = 2 }, []);
        source.Propose(CommandCodec.Encode(1000, [Opening(), .. Enumerable.Range(0, 20).Select(i => Command.Put(B($"{{a}}{i}"), B("v"), ttlMs: 10 * i)), Command.Increment(B("{a}n"), 1).In(new SessionId(new LogIndex(2), 0), 0), Command.Increment(B("{a}n"), 1).Under("id")]));
        source.Commit();
        source.Propose(HandoffCodec.Encode(1000, new HandoffStep.Begin(source.Group, target.Id, target.Group, Slots(1, A))));
        Pair.Run(source, target, each: () =>
        {
            source.Follow(int.MaxValue, fromImage: true);
            target.Follow(1, fromImage: false);
        });
        target.Follow(int.MaxValue, fromImage: false);
        Assert.True(source.Machine.Ownership.IsSettled && target.Machine.Ownership.IsSettled);
        Assert.Equal("2", Text(target.Machine.Get(B("{a}n")).Value));
        Assert.Equal(0, source.Machine.Records.Count);
    }

    [Fact]
    public void What_is_left_is_purged_at_the_pace_of_the_copy_and_nothing_is_due_while_it_may_not()
    {
        var options = new HandoffOptions { PurgeLooks = 2 };
        var source = new Shard(1, options, [A, B1]);
        source.Propose(CommandCodec.Encode(1000, [.. Enumerable.Range(0, 4).Select(i => Command.Put(B($"{{a}}{i}"), B("v")))]));
        source.Propose(HandoffCodec.Encode(1000, new HandoffStep.Begin(source.Group, new ShardId(2), new GroupId(2), Slots(1, A))));
        var begin = source.Machine.LastApplied.Next.Next;
        source.Propose(HandoffCodec.Encode(1000, new HandoffStep.Freeze(begin)));
        source.Propose(HandoffCodec.Encode(1000, new HandoffStep.Release(begin)));
        while (source.Waiting > 0)
        {
            source.Commit();
        }

        Assert.False(source.Machine.Ownership.ToPurge.IsEmpty);
        var now = new Instant(1_000_000);
        for (var walked = 0; !source.Machine.Ownership.ToPurge.IsEmpty; walked++)
        {
            Assert.InRange(walked, 0, 3);
            now = now.PlusMs(10 * options.RetryMs);
            var output = new HandoffOutput();
            source.Driver!.Step(source.Machine, now, 0, output);
            Assert.DoesNotContain(output.Steps, step => step is HandoffStep.Purge);
            Assert.True(source.Driver.NextDeadline > now);
            source.Driver.Step(source.Machine, now, 1, output);
            Assert.InRange(output.Spent, 1, options.ChunkBytes);
            source.Propose(HandoffCodec.Encode(1000, Assert.Single(output.Steps, step => step is HandoffStep.Purge)));
            source.Commit();
        }

        Assert.Equal(0, source.Machine.Records.Count);
    }

    private static bool Take(LogOf log, HandoffStep step)
    {
        log.Apply(new Entry(log.Machine.LastApplied.Next, new Term(1), EntryKind.Command, HandoffCodec.Encode(1000, step)), null);
        return log.Machine.LastStepTook;
    }

    private static HandoffStep.Open Open(HandoffId id, Attempt attempt) => new(id, attempt, new ShardId(1), Slots(1, A), [SlotSet.Of([A])]);

    private static HandoffStep.Stage Stage(HandoffId id, Attempt attempt, uint number, string key)
    {
        var chunk = new EncodedWriter();
        Chunk.Record(chunk, B(key), "v"u8, new(1, 0, 9, 0), 0);
        return new HandoffStep.Stage(id, attempt, number, chunk.ToArray());
    }

    private static SlotEpochs Slots(uint epoch, params Slot[] slots) => SlotEpochs.Of(SlotSet.Of(slots), new SlotEpoch(epoch));
}
