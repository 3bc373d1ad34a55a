using Flotilla.Data;
using Flotilla.Raft;
using Flotilla.Shards.ExactlyOnce;
using Flotilla.Shards.Tests.Harness;
using Flotilla.Shards.Tests.Image;
using Flotilla.Topology;
using static Flotilla.Shards.Tests.Harness.Words;

namespace Flotilla.Shards.Tests;

/// <summary>What idempotency keys mean to the state machine.</summary>
public sealed class IdempotencyTests
{
    private static readonly KeyTerms Terms = new(LifeMs: 1000, MaxBytes: 1 << 20);

    private readonly LogOf _log = new();

    [Fact]
    [Trait("Hazard", "34")]
    public void The_same_key_and_command_gives_the_first_result()
    {
        var first = _log.One(0, Command.Increment(B("n"), 5).Under("id-1", Terms));
        _log.One(0, Command.Increment(B("n"), 100));
        var again = _log.One(999, Command.Increment(B("n"), 5).Under("id-1", Terms));
        Assert.Equal((first.Code, first.Version, "5"), (again.Code, again.Version, Text(again.Value)));
        Assert.Equal("105", _log.Get("n"));
        Assert.Equal(ResultCode.NotFound, _log.One(0, Command.Delete(B("none")).Under("id-2", Terms)).Code);
        _log.One(0, Command.Put(B("none"), B("1")));
        Assert.Equal(ResultCode.NotFound, _log.One(0, Command.Delete(B("none")).Under("id-2", Terms)).Code);
    }

    [Fact]
    public void The_same_key_with_another_command_is_a_bad_request_and_executes_nothing()
    {
        _log.One(0, Command.Put(B("a"), B("1")).Under("id", Terms));
        Command[] others =
        [
            Command.Put(B("a"), B("2")), Command.Put(B("a"), B("1"), ttlMs: 5), Command.Delete(B("a")), Command.PutIfAbsent(B("a"), B("1")), Command.Increment(B("a"), 1),
        ];
        Assert.All(others, c => Assert.Equal(CommandResult.Of(ResultCode.KeyReused), _log.One(0, c.Under("id", Terms))));
        Assert.Equal("1", _log.Get("a"));
        Assert.Equal(ResultCode.Ok, _log.One(0, Command.Put(B("a"), B("1")).Under("id", Terms)).Code);
    }

    [Fact]
    public void Terms_that_changed_meanwhile_make_no_other_command()
    {
        _log.One(0, Command.Increment(B("n"), 1).Under("id", Terms));
        Assert.Equal("1", Text(_log.One(0, Command.Increment(B("n"), 1).Under("id", new KeyTerms(5, 1))).Value));
        Assert.Equal("1", _log.Get("n"));
    }

    [Fact]
    public void A_key_is_looked_up_with_the_slot_of_the_record()
    {
        Assert.NotEqual(Slot.Of("a"u8), Slot.Of("b"u8));
        _log.One(0, Command.Put(B("a"), B("1")).Under("id", Terms));
        Assert.Equal(ResultCode.Ok, _log.One(0, Command.Put(B("b"), B("1")).Under("id", Terms)).Code);
        Assert.Equal(CommandResult.Of(ResultCode.KeyReused), _log.One(0, Command.Put(B("{a}b"), B("1")).Under("id", Terms)));
        Assert.Equal("1", _log.Get("b"));
        Assert.Equal("NotFound", _log.Get("{a}b"));
    }

    [Fact]
    public void A_key_whose_life_is_over_executes_anew()
    {
        _log.One(1000, Command.Increment(B("n"), 1).Under("id", Terms));
        Assert.Equal("1", Text(_log.One(1999, Command.Increment(B("n"), 1).Under("id", Terms)).Value));
        Assert.Equal("2", Text(_log.One(2000, Command.Increment(B("n"), 1).Under("id", Terms)).Value));
        Assert.Equal("2", Text(_log.One(2999, Command.Increment(B("n"), 1).Under("id", Terms)).Value));
        Assert.Equal(1, _log.Machine.IdempotencyKeyCount);
        _log.Apply(3000);
        Assert.Equal(0, _log.Machine.IdempotencyKeyCount);
    }

    [Fact]
    [Trait("Hazard", "35")]
    public void A_write_with_an_end_is_never_executed_anew_however_late_its_attempts_come()
    {
        var write = Command.Increment(B("n"), 1) with { Once = new Once.ByKey(B("id"), Terms, UntilMs: 2500) };
        Assert.Equal("1", Text(_log.One(1600, write).Value));
        Assert.Equal("1", Text(_log.One(2499, write).Value));
        foreach (var late in (long[])[2500, 2501, 3_000_000])
        {
            // The record is gone, and a retry that came only now would find nothing. It is told what time it is.
            var answer = _log.One(late, write);
            Assert.Equal((ResultCode.KeyExpired, late), (answer.Code, (long)answer.Version.Counter));
        }

        Assert.Equal(0, _log.Machine.IdempotencyKeyCount);
        Assert.Equal("1", _log.Get("n"));
    }

    [Fact]
    [Trait("Hazard", "33")]
    public void An_end_further_ahead_than_a_key_lives_is_refused_before_anything_is_done()
    {
        var write = Command.Increment(B("n"), 1) with { Once = new Once.ByKey(B("id"), Terms, UntilMs: 5000) };
        Assert.Equal((ResultCode.KeyExpired, 3999UL), (_log.One(3999, write) is var early ? early.Code : default, early.Version.Counter));
        Assert.Equal("NotFound", _log.Get("n"));
        Assert.Equal(ResultCode.Ok, _log.One(4000, write).Code);

        // With an end the record lives up to it, and not for the life of the key.
        _log.Apply(4999);
        Assert.Equal(1, _log.Machine.IdempotencyKeyCount);
        _log.Apply(5000);
        Assert.Equal(0, _log.Machine.IdempotencyKeyCount);
    }

    [Fact]
    public void A_key_whose_life_is_over_counts_as_gone_before_it_is_removed()
    {
        for (var i = 0; i <= IdempotencyTable.MaxExpiredPerEntry; i++)
        {
            _log.One(0, Command.Delete(B($"filler {i}")).Under($"early {i}", Terms));
        }

        _log.One(1, Command.Increment(B("n"), 1).Under("id", Terms));
        Assert.Equal("2", Text(_log.One(1001, Command.Increment(B("n"), 1).Under("id", Terms)).Value));
        Assert.Equal(2, _log.Machine.IdempotencyKeyCount);

        // An image has the one that is over as well: which of the two counts does not change.
        var restored = new List<CommandResult>();
        Images.Restored(_log.Machine).Apply(new Entry(_log.Machine.LastApplied.Next, new Term(1), EntryKind.Command, CommandCodec.Encode(1002, [Command.Increment(B("n"), 1).Under("id", Terms)])), restored);
        Assert.Equal("2", Text(restored[0].Value));
        Assert.Equal("2", Text(_log.One(1002, Command.Increment(B("n"), 1).Under("id", Terms)).Value));
        Assert.Equal(1, _log.Machine.IdempotencyKeyCount);
        _log.Apply(2000);
        Assert.Equal("2", Text(_log.One(2000, Command.Increment(B("n"), 1).Under("id", Terms)).Value));
    }

    [Fact]
    public void A_refusal_of_ownership_is_not_kept()
    {
        var log = new LogOf(new BTree(), [Slot.Of("mine"u8)]);
        Assert.Equal(ResultCode.NotOwner, log.One(0, Command.Put(B("other"), B("1")).Under("id", Terms)).Code);
        Assert.Equal(0, log.Machine.IdempotencyKeyCount);
    }

    [Fact]
    public void A_full_table_refuses_new_keys_until_old_ones_end()
    {
        var small = new KeyTerms(1000, MaxBytes: 200);
        Assert.Equal(ResultCode.Ok, _log.One(0, Command.Put(B("a"), B("1")).Under("id-1", small)).Code);
        Assert.Equal(ResultCode.Ok, _log.One(500, Command.Put(B("a"), B("2")).Under("id-2", small)).Code);
        Assert.Equal(CommandResult.Of(ResultCode.Overloaded), _log.One(999, Command.Put(B("a"), B("3")).Under("id-3", small)));
        Assert.Equal("2", _log.Get("a"));
        Assert.Equal(ResultCode.Ok, _log.One(999, Command.Put(B("a"), B("1")).Under("id-1", small)).Code);

        // The asking entry itself moves the log time on an idle shard.
        Assert.Equal(ResultCode.Ok, _log.One(1000, Command.Put(B("a"), B("3")).Under("id-3", small)).Code);
    }

    [Fact]
    public void Keys_may_come_faster_than_an_entry_removes_by_itself()
    {
        var terms = new KeyTerms(LifeMs: 3, KeyTerms.Default.MaxBytes);
        var number = 0;
        for (var i = 0; i < 50; i++)
        {
            _log.Apply(i, [.. Enumerable.Range(0, 3000).Select(_ => Command.Delete(B("a")).Under($"{number++}", terms))]);
            Assert.InRange(_log.Machine.IdempotencyKeyCount, 0, 4 * 3000);
        }
    }

    [Fact]
    public void A_life_past_the_end_of_time_is_one_without_end()
    {
        var forever = new KeyTerms(long.MaxValue, long.MaxValue);
        _log.One(1000, Command.Increment(B("n"), 1).Under("id", forever));
        Assert.Equal("1", Text(_log.One(long.MaxValue - 1, Command.Increment(B("n"), 1).Under("id", forever)).Value));
    }

    [Fact]
    public void The_digest_knows_idempotency_keys()
    {
        var before = _log.Machine.StateDigest();
        _log.One(0, Command.Delete(B("a")).Under("id", Terms));
        Assert.NotEqual(before, _log.Machine.StateDigest());
        _log.Apply(1000);
        var other = new LogOf();
        other.Apply(1000);
        Assert.Equal(other.Machine.StateDigest(), _log.Machine.StateDigest());
    }
}
