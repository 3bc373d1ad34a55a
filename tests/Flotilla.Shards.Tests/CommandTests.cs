using Flotilla.Data;
using Flotilla.Raft;
using Flotilla.Shards.Tests.Harness;
using Flotilla.Topology;
using static Flotilla.Shards.Tests.Harness.Words;
using Version = Flotilla.Data.Version;

namespace Flotilla.Shards.Tests;

public sealed class CommandTests
{
    private readonly LogOf _log = new();

    [Fact]
    public void A_put_is_read_back_under_the_version_of_its_place_in_the_log()
    {
        var results = _log.Apply(1000, Command.Put(B("a"), B("1")), Command.Put(B("b"), B("2")), Command.Put(B("a"), B("3")));
        Assert.Equal([new Version(1, 0, 1, 0), new Version(1, 0, 1, 1), new Version(1, 0, 1, 2)], results.Select(r => r.Version));
        Assert.All(results, r => Assert.Equal(ResultCode.Ok, r.Code));
        Assert.Equal("3", _log.Get("a"));
        Assert.Equal(new Version(1, 0, 1, 2), _log.Machine.Get(B("a")).Version);
        Assert.Equal("NotFound", _log.Get("c"));
    }

    [Fact]
    public void A_value_may_be_empty_and_any_bytes()
    {
        _log.Apply(0, Command.Put(B("empty"), default), Command.Put(new byte[] { 0, 255 }, new byte[] { 0, 10, 200 }));
        Assert.Equal("", _log.Get("empty"));
        Assert.Equal([0, 10, 200], _log.Machine.Get(new byte[] { 0, 255 }).Value.ToArray());
    }

    [Fact]
    public void A_delete_says_whether_there_was_something()
    {
        _log.Apply(0, Command.Put(B("a"), B("1")));
        Assert.Equal(CommandResult.Of(ResultCode.Ok), _log.One(0, Command.Delete(B("a"))));
        Assert.Equal(CommandResult.Of(ResultCode.NotFound), _log.One(0, Command.Delete(B("a"))));
        Assert.Equal("NotFound", _log.Get("a"));
    }

    [Fact]
    public void Compare_and_swap_writes_over_exactly_one_version()
    {
        var first = _log.One(0, Command.Put(B("a"), B("1"))).Version;
        var second = _log.One(0, Command.CompareAndSwap(B("a"), first, B("2")));
        Assert.Equal(ResultCode.Ok, second.Code);
        Assert.Equal(new CommandResult(ResultCode.VersionMismatch, second.Version, default), _log.One(0, Command.CompareAndSwap(B("a"), first, B("3"))));
        Assert.Equal("2", _log.Get("a"));
    }

    [Fact]
    public void Compare_and_swap_never_creates_a_record()
    {
        var mismatch = CommandResult.Of(ResultCode.VersionMismatch);
        Assert.Equal(mismatch, _log.One(0, Command.CompareAndSwap(B("a"), new Version(1, 0, 1, 0), B("1"))));
        Assert.Equal(mismatch, _log.One(0, Command.CompareAndSwap(B("a"), Version.None, B("1"))));
        Assert.Equal("NotFound", _log.Get("a"));
    }

    [Fact]
    public void A_version_never_returns_so_a_record_written_anew_does_not_match()
    {
        var old = _log.One(0, Command.Put(B("a"), B("1"))).Version;
        _log.Apply(0, Command.Delete(B("a")), Command.Put(B("a"), B("1")));
        Assert.Equal(ResultCode.VersionMismatch, _log.One(0, Command.CompareAndSwap(B("a"), old, B("2"))).Code);
    }

    [Fact]
    public void Put_if_absent_writes_only_where_nothing_is()
    {
        var made = _log.One(0, Command.PutIfAbsent(B("a"), B("1")));
        Assert.Equal(ResultCode.Ok, made.Code);
        Assert.Equal(new CommandResult(ResultCode.VersionMismatch, made.Version, default), _log.One(0, Command.PutIfAbsent(B("a"), B("2"))));
        Assert.Equal("1", _log.Get("a"));
    }

    [Fact]
    public void Compare_and_delete_removes_exactly_one_version()
    {
        var first = _log.One(0, Command.Put(B("a"), B("1"))).Version;
        var second = _log.One(0, Command.Put(B("a"), B("2"))).Version;
        Assert.Equal(new CommandResult(ResultCode.VersionMismatch, second, default), _log.One(0, Command.CompareAndDelete(B("a"), first)));
        Assert.Equal(ResultCode.Ok, _log.One(0, Command.CompareAndDelete(B("a"), second)).Code);
        Assert.Equal(CommandResult.Of(ResultCode.VersionMismatch), _log.One(0, Command.CompareAndDelete(B("a"), second)));
    }

    [Fact]
    public void An_increment_counts_from_0_and_answers_the_new_number()
    {
        Assert.Equal("5", Text(_log.One(0, Command.Increment(B("n"), 5)).Value));
        Assert.Equal("-2", Text(_log.One(0, Command.Increment(B("n"), -7)).Value));
        Assert.Equal("-2", _log.Get("n"));
        Assert.Equal(new Version(1, 0, 2, 0), _log.Machine.Get(B("n")).Version);
    }

    [Theory]
    [InlineData("9223372036854775807", 1)]
    [InlineData("-9223372036854775808", -1)]
    [InlineData("1", long.MaxValue)]
    [InlineData("-2", long.MinValue)]
    public void An_increment_that_would_overflow_writes_nothing(string there, long delta)
    {
        var version = _log.One(0, Command.Put(B("n"), B(there))).Version;
        Assert.Equal(CommandResult.Of(ResultCode.BadRequest), _log.One(0, Command.Increment(B("n"), delta)));
        Assert.Equal(there, _log.Get("n"));
        Assert.Equal(version, _log.Machine.Get(B("n")).Version);
    }

    [Theory]
    [InlineData("9223372036854775806", 1, "9223372036854775807")]
    [InlineData("-9223372036854775807", -1, "-9223372036854775808")]
    [InlineData("9223372036854775807", long.MinValue, "-1")]
    [InlineData("-9223372036854775808", long.MaxValue, "-1")]
    [InlineData("0", 0, "0")]
    public void An_increment_reaches_the_ends_of_64_bits(string there, long delta, string sum)
    {
        _log.Apply(0, Command.Put(B("n"), B(there)));
        Assert.Equal(sum, Text(_log.One(0, Command.Increment(B("n"), delta)).Value));
    }

    [Theory]
    [InlineData("")]
    [InlineData("-")]
    [InlineData("-0")]
    [InlineData("01")]
    [InlineData("-01")]
    [InlineData("+1")]
    [InlineData(" 1")]
    [InlineData("1 ")]
    [InlineData("1.0")]
    [InlineData("1e3")]
    [InlineData("abc")]
    [InlineData("9223372036854775808")]
    [InlineData("-9223372036854775809")]
    [InlineData("99999999999999999999999999")]
    public void An_increment_of_what_is_no_decimal_integer_writes_nothing(string there)
    {
        _log.Apply(0, Command.Put(B("n"), B(there)));
        Assert.Equal(CommandResult.Of(ResultCode.BadRequest), _log.One(0, Command.Increment(B("n"), 1)));
        Assert.Equal(there, _log.Get("n"));
    }

    [Fact]
    public void A_command_for_a_slot_that_is_not_owned_has_no_effect_whatever_it_is()
    {
        var owned = Slot.Of("mine"u8);
        var log = new LogOf(new BTree(), [owned]);
        Assert.Equal(ResultCode.Ok, log.One(0, Command.Put(B("mine"), B("1"))).Code);
        Command[] foreign =
        [
            Command.Put(B("other"), B("1")), Command.Delete(B("other")), Command.PutIfAbsent(B("other"), B("1")), Command.Increment(B("other"), 1),
            Command.CompareAndSwap(B("other"), new Version(1, 0, 1, 0), B("1")), Command.CompareAndDelete(B("other"), new Version(1, 0, 1, 0)),
        ];
        Assert.All(log.Apply(0, foreign), r => Assert.Equal(CommandResult.Of(ResultCode.NotOwner), r));
        Assert.Equal("NotOwner", log.Get("other"));
        Assert.Equal(1, log.Machine.Records.Count);
    }

    [Fact]
    public void Commands_of_one_entry_see_each_other_in_order()
    {
        var results = _log.Apply(0, Command.PutIfAbsent(B("n"), B("1")), Command.Increment(B("n"), 1), Command.PutIfAbsent(B("n"), B("9")), Command.Delete(B("n")), Command.Delete(B("n")));
        Assert.Equal([ResultCode.Ok, ResultCode.Ok, ResultCode.VersionMismatch, ResultCode.Ok, ResultCode.NotFound], results.Select(r => r.Code));
    }

    [Fact]
    public void Entries_are_applied_once_and_in_order()
    {
        _log.Apply(0, Command.Put(B("a"), B("1")));
        Assert.Throws<InvalidOperationException>(() => _log.Apply(_log.Entries[0], null));
        Assert.Throws<InvalidOperationException>(() => _log.Apply(_log.Entries[0] with { Index = new LogIndex(3) }, null));
    }

    [Fact]
    public void A_no_op_only_moves_the_applied_index()
    {
        _log.Apply(500, Command.Put(B("a"), B("1")));
        var digest = _log.Machine.StateDigest();
        var results = new List<CommandResult> { default };
        _log.Apply(new Entry(new LogIndex(2), new Term(2), EntryKind.NoOp, default), results);
        Assert.Empty(results);
        Assert.Equal(new LogIndex(2), _log.Machine.LastApplied);
        Assert.Equal(digest, _log.Machine.StateDigest());
    }

    [Fact]
    public void A_value_handed_out_does_not_change_with_the_record()
    {
        _log.Apply(0, Command.Put(B("a"), B("first")));
        var got = _log.Machine.Get(B("a"));
        var page = _log.Machine.Scan(ScanOf());
        for (var i = 0; i < 200; i++)
        {
            _log.Apply(0, Command.Put(B("a"), B($"later {i}")), Command.Put(B($"b{i}"), B("x")));
        }

        Assert.Equal("first", Text(got.Value));
        Assert.Equal("first", Text(page.Records[0].Value));
        Assert.Equal("a", Text(page.Records[0].Key));
    }
}
