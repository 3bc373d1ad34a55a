using Flotilla.Raft;
using Flotilla.Shards.Handoff;
using Flotilla.Shards.Tests.Handoff;
using Flotilla.Shards.Tests.Harness;
using Flotilla.Shards.Tests.Image;
using Flotilla.Shards.Watching;
using Flotilla.Topology;
using static Flotilla.Shards.Tests.Harness.Words;

namespace Flotilla.Shards.Tests.Watching;

/// <summary>What the state machine writes down for those who watch, and how it is read.</summary>
public sealed class EventLogTests
{
    private static EventFilter All => default;

    [Fact]
    public void Only_what_took_effect_is_an_event()
    {
        var log = Recorded();
        var first = log.One(1000, Command.Put(B("a"), B("1")));
        log.Apply(1000,
            Command.PutIfAbsent(B("a"), B("2")),
            Command.CompareAndSwap(B("a"), first.Version, B("3")),
            Command.CompareAndSwap(B("a"), first.Version, B("4")),
            Command.Delete(B("nothing")),
            Command.Increment(B("n"), 5),
            Command.Delete(B("a")));
        var swapped = new Flotilla.Data.Version(1, 0, 2, 1);
        Assert.Equal(
            [$"Put a=1 {first.Version}", $"Put a=3 {swapped}", "Put n=5 1.0.2.4", $"Delete a= {swapped}"],
            Read(log.Machine.Events!, EventPosition.Zero, log.Machine.LastApplied));
    }

    [Fact]
    public void A_write_that_comes_again_is_one_event()
    {
        var log = Recorded();
        var session = log.Open(1000);
        var write = Command.Put(B("a"), B("1")).In(session, 0);
        log.One(1000, write);
        log.One(1000, Command.Put(B("a"), B("1")).In(session, 0, isRetry: true));
        log.One(1000, Command.Put(B("k"), B("2")).Under("id"));
        log.One(1000, Command.Put(B("k"), B("2")).Under("id"));
        Assert.Equal(["Put a=1 1.0.2.0", "Put k=2 1.0.4.0"], Read(log.Machine.Events!, EventPosition.Zero, log.Machine.LastApplied));
    }

    [Fact]
    public void A_record_that_falls_due_expires_in_the_entry_that_removes_it()
    {
        var log = Recorded();
        var put = log.One(1000, Command.Put(B("a"), B("1"), ttlMs: 50));
        log.Apply(1100, Command.Put(B("b"), B("2")));
        var events = new List<ShardEvent>();
        Assert.True(log.Machine.Events!.Read(EventPosition.Zero, log.Machine.LastApplied, All, int.MaxValue, int.MaxValue, events, out _));
        Assert.Equal([ShardEventKind.Put, ShardEventKind.Expire, ShardEventKind.Put], events.Select(e => e.Kind));
        Assert.Equal(put.Version, events[1].Version);
        Assert.Equal([new EventPosition(LogIndex.Zero, 1), new EventPosition(new LogIndex(1), 1), new EventPosition(new LogIndex(1), 2)], events.Select(e => e.After));
    }

    [Fact]
    public void Every_position_resumes_exactly_behind_it()
    {
        var log = Recorded();
        for (var i = 0; i < 300; i++)
        {
            log.Apply(1000, [.. Enumerable.Range(0, (i % 5) + 1).Select(c => Command.Put(B($"k{i}-{c}"), new byte[200]))]);
        }

        var machine = log.Machine;
        var all = new List<ShardEvent>();
        Assert.True(machine.Events!.Read(EventPosition.Zero, machine.LastApplied, All, int.MaxValue, int.MaxValue, all, out var end));
        Assert.Equal(900, all.Count);
        Assert.Equal(EventPosition.After(machine.LastApplied), end);
        for (var i = 0; i < all.Count; i += 7)
        {
            var rest = new List<ShardEvent>();
            Assert.True(machine.Events.Read(all[i].After, machine.LastApplied, All, int.MaxValue, int.MaxValue, rest, out _));
            Assert.Equal(all.Skip(i + 1).Select(e => e.After), rest.Select(e => e.After));
        }

        // Entry by entry, as far as is known to be applied, and in small bites.
        var slowly = new List<EventPosition>();
        var at = EventPosition.Zero;
        for (var applied = LogIndex.Zero; applied <= machine.LastApplied; applied = applied.Next)
        {
            var bite = new List<ShardEvent>();
            do
            {
                bite.Clear();
                Assert.True(machine.Events.Read(at, applied, All, 300, int.MaxValue, bite, out at));
                slowly.AddRange(bite.Select(e => e.After));
            }
            while (bite.Count > 0);
            Assert.Equal(EventPosition.After(applied), at);
        }

        Assert.Equal(all.Select(e => e.After), slowly);
    }

    [Fact]
    public void A_filter_passes_over_what_it_does_not_take_and_says_how_far_it_came()
    {
        var log = Recorded();
        log.Apply(1000, Command.Put(B("a/1"), B("x")), Command.Put(B("b"), B("y")), Command.Put(B("a/2"), B("z")), Command.Put(B("a"), B("w")));
        Assert.Equal(["Put a/1=x 1.0.1.0", "Put a/2=z 1.0.1.2"], Read(log.Machine.Events!, EventPosition.Zero, log.Machine.LastApplied, new EventFilter(B("a/"), IsKey: false)));
        Assert.Equal(["Put a=w 1.0.1.3"], Read(log.Machine.Events!, EventPosition.Zero, log.Machine.LastApplied, new EventFilter(B("a"), IsKey: true)));
        var none = new List<ShardEvent>();
        Assert.True(log.Machine.Events!.Read(EventPosition.Zero, log.Machine.LastApplied, new EventFilter(B("c"), false), 100, maxScanned: 70, none, out var reached));
        Assert.Empty(none);
        Assert.Equal(new EventPosition(LogIndex.Zero, 2), reached);
    }

    [Fact]
    public void What_is_kept_is_bounded_and_a_position_before_it_is_refused()
    {
        var log = new LogOf();
        log.Machine.Events = new EventLog(256 << 10, LogIndex.Zero);
        for (var i = 0; i < 2000; i++)
        {
            log.One(1000, Command.Put(B($"k{i}"), new byte[1000]));
        }

        var events = log.Machine.Events;
        Assert.InRange(events.Bytes, 192 << 10, 256 << 10);
        Assert.False(events.Read(EventPosition.Zero, log.Machine.LastApplied, All, 100, 100, [], out _));
        var floor = events.Floor;
        var kept = Read(events, floor, log.Machine.LastApplied);
        Assert.Equal(2000 - (int)floor.Through.Value - (int)floor.Next, kept.Count);

        // One that is larger than all that may be kept is kept by itself.
        log.One(1000, Command.Put(B("big"), new byte[512 << 10]));
        Assert.Single(Read(events, events.Floor, log.Machine.LastApplied));
    }

    [Fact]
    public async Task Readers_on_other_threads_see_every_event_once_while_it_is_written()
    {
        const int Entries = 20_000;
        var log = new LogOf();
        var events = log.Machine.Events = new EventLog(64L << 20, LogIndex.Zero);
        var applied = 0UL;
        var readers = Enumerable.Range(0, 2).Select(_ => Task.Run(() =>
        {
            var seen = 0UL;
            var at = EventPosition.Zero;
            var batch = new List<ShardEvent>();
            while (seen < Entries)
            {
                batch.Clear();
                Assert.True(events.Read(at, new LogIndex(Volatile.Read(ref applied)), All, 64 << 10, int.MaxValue, batch, out at));
                foreach (var e in batch)
                {
                    Assert.Equal(++seen, e.Version.Counter);
                    Assert.Equal($"k{seen}", Text(e.Key));
                }
            }
        })).ToArray();
        for (var i = 1; i <= Entries; i++)
        {
            log.One(1000, Command.Put(B($"k{i}"), B("v")));
            Volatile.Write(ref applied, (ulong)i);
        }

        await Task.WhenAll(readers).WaitAsync(TimeSpan.FromSeconds(30), TestContext.Current.CancellationToken);
    }

    [Fact]
    public void A_machine_made_from_an_image_keeps_the_same_events_at_the_same_positions_from_there_on()
    {
        var log = Recorded();
        log.Apply(1000, Command.Put(B("a"), B("1"), ttlMs: 100), Command.Put(B("b"), B("1"), ttlMs: 100));
        var restored = Images.Restored(log.Machine);
        restored.Events = new EventLog(1 << 20, restored.LastApplied);
        var from = EventPosition.After(log.Machine.LastApplied);
        for (var i = 0; i < 5; i++)
        {
            log.Apply(1080 + (i * 10), Command.Put(B($"c{i}"), B("1")), Command.Delete(B("b")));
            restored.Apply(log.Entries[^1], null);
        }

        Assert.Equal(ReadAll(log.Machine, from), ReadAll(restored, from));
        Assert.False(restored.Events.Read(EventPosition.Zero, restored.LastApplied, All, 100, 100, [], out _));
    }

    [Fact]
    public void A_move_makes_marks_and_no_events_and_says_which_freeze_comes_first()
    {
        var slots = AllSlots;
        var (source, target) = (new Shard(1, new HandoffOptions(), slots), new Shard(2, new HandoffOptions(), []));
        var sourceEvents = source.Machine.Events = new EventLog(1 << 20, source.Machine.LastApplied);
        var targetEvents = target.Machine.Events = new EventLog(1 << 20, target.Machine.LastApplied);
        Put(source, "a", "1");
        Assert.True(source.Propose(HandoffCodec.Encode(1000, new HandoffStep.Begin(source.Group, target.Id, target.Group, SlotEpochs.Of(SlotSet.Of(slots), SlotEpoch.First)))));
        source.Commit();
        var move = source.Machine.LastApplied;
        Put(source, "a", "2");
        Pair.Run(source, target);
        Put(target, "a", "3");

        Assert.Equal(["Put a=1 1.0.2.0", "Put a=2 1.0.4.0"], Read(sourceEvents, EventPosition.After(new LogIndex(1)), source.Machine.LastApplied));
        var came = new List<ShardEvent>();
        Assert.True(targetEvents.Read(EventPosition.After(new LogIndex(1)), target.Machine.LastApplied, new EventFilter(B("other"), true), int.MaxValue, int.MaxValue, came, out _));
        Assert.Equal((ShardEventKind.Came, source.Id, move), (Assert.Single(came).Kind, came[0].Source, came[0].Move));
        var after = Read(targetEvents, EventPosition.After(new LogIndex(1)), target.Machine.LastApplied);
        Assert.Equal(2, after.Count);
        Assert.StartsWith("Put a=3 2.0.", after[1], StringComparison.Ordinal);

        // A reader of the source has the freeze ahead until it has read everything that the slots did there.
        Assert.True(sourceEvents.IsFreezeAhead(EventPosition.After(move), move));
        Assert.True(sourceEvents.IsFreezeAhead(EventPosition.After(move.Next), move));
        Assert.False(sourceEvents.IsFreezeAhead(EventPosition.After(source.Machine.LastApplied), move));
        Assert.Null(sourceEvents.IsFreezeAhead(EventPosition.Zero, move));
    }

    private static LogOf Recorded()
    {
        var log = new LogOf();
        log.Machine.Events = new EventLog(8 << 20, LogIndex.Zero);
        return log;
    }

    private static void Put(Shard shard, string key, string value)
    {
        Assert.True(shard.Propose(CommandCodec.Encode(1000, [Command.Put(B(key), B(value))])));
        shard.Commit();
    }

    private static List<string> ReadAll(StateMachine machine, EventPosition from) => Read(machine.Events!, from, machine.LastApplied);

    private static List<string> Read(EventLog log, EventPosition from, LogIndex applied, EventFilter filter = default)
    {
        var events = new List<ShardEvent>();
        Assert.True(log.Read(from, applied, in filter, int.MaxValue, int.MaxValue, events, out _));
        return [.. events.Select(e => e.Kind == ShardEventKind.Came ? "Came" : $"{e.Kind} {Text(e.Key)}={Text(e.Value)} {e.Version}")];
    }
}
