using Flotilla.Data;
using Flotilla.Raft;
using Flotilla.Shards.Tests.Harness;
using static Flotilla.Shards.Tests.Harness.Words;
using Version = Flotilla.Data.Version;

namespace Flotilla.Shards.Tests;

public sealed class ExpiryTests
{
    private readonly LogOf _log = new();

    [Fact]
    public void A_record_is_gone_once_the_log_time_reaches_its_expiry()
    {
        _log.Apply(1000, Command.Put(B("a"), B("1"), ttlMs: 50));
        _log.Apply(1049);
        Assert.Equal("1", _log.Get("a"));
        Assert.Equal(1050, _log.Machine.NextExpiryMs);
        _log.Apply(1050);
        Assert.Equal("NotFound", _log.Get("a"));
        Assert.Equal(0, _log.Machine.Records.Count);
        Assert.Equal(long.MaxValue, _log.Machine.NextExpiryMs);
    }

    [Fact]
    public void An_expired_record_is_absent_for_every_command_of_the_same_entry()
    {
        // More records fall due than one entry removes, so that these are still in the store when the commands run.
        FillWithEarlierExpiries();
        var version = _log.One(1000, Command.Put(B("a"), B("1"), ttlMs: 100)).Version;
        _log.Apply(1000, [.. "bcdef".Select(c => Command.Put(B($"{c}"), B("1"), ttlMs: 100))]);
        var results = _log.Apply(
            2000,
            Command.CompareAndSwap(B("a"), version, B("x")),
            Command.CompareAndDelete(B("a"), version),
            Command.Delete(B("b")),
            Command.PutIfAbsent(B("c"), B("new")),
            Command.Increment(B("d"), 3));
        Assert.True(_log.Machine.Records.TryGet("e"u8, out _), "the test means to look at records that are not removed yet");
        Assert.Equal([ResultCode.VersionMismatch, ResultCode.VersionMismatch, ResultCode.NotFound, ResultCode.Ok, ResultCode.Ok], results.Select(r => r.Code));
        Assert.Equal([Version.None, Version.None], results.Take(2).Select(r => r.Version));
        Assert.Equal("3", Text(results[4].Value));
        Assert.Equal("c d", Keys(_log.Machine.Scan(ScanOf())));
        Assert.Equal("NotFound", _log.Get("e"));

        _log.Apply(2000);
        _log.Apply(2000);
        Assert.Equal(2, _log.Machine.Records.Count);
        Assert.Equal("new", _log.Get("c"));
        Assert.Equal("3", _log.Get("d"));
    }

    [Fact]
    public void One_entry_removes_a_bounded_number_and_the_next_ones_the_rest()
    {
        FillWithEarlierExpiries();
        var before = _log.Machine.Records.Count;
        _log.Apply(5000);
        Assert.Equal(before - StateMachine.MaxExpiredPerEntry, _log.Machine.Records.Count);
        Assert.True(_log.Machine.NextExpiryMs <= _log.Machine.LogTimeMs);
        Assert.Equal("", Keys(_log.Machine.Scan(ScanOf())));
        _log.Apply(5000);
        Assert.Equal(0, _log.Machine.Records.Count);
    }

    [Fact]
    public void A_write_sets_the_expiry_anew_and_an_increment_keeps_it()
    {
        _log.Apply(0, Command.Put(B("a"), B("1"), ttlMs: 10), Command.Put(B("b"), B("1"), ttlMs: 10), Command.Put(B("c"), B("1"), ttlMs: 10), Command.Put(B("d"), B("1")));
        _log.Apply(5, Command.Put(B("a"), B("2")), Command.Put(B("b"), B("2"), ttlMs: 100), Command.Increment(B("c"), 1), Command.Put(B("d"), B("2"), ttlMs: 1));
        _log.Apply(10);
        Assert.Equal("2", _log.Get("a"));
        Assert.Equal("2", _log.Get("b"));
        Assert.Equal("NotFound", _log.Get("c"));
        Assert.Equal("NotFound", _log.Get("d"));
        Assert.Equal(105, _log.Machine.NextExpiryMs);
    }

    [Fact]
    public void Compare_and_swap_takes_its_own_expiry_or_none()
    {
        var version = _log.One(0, Command.Put(B("a"), B("1"), ttlMs: 10)).Version;
        _log.Apply(0, Command.CompareAndSwap(B("a"), version, B("2")));
        Assert.Equal(long.MaxValue, _log.Machine.NextExpiryMs);
        _log.Apply(100);
        Assert.Equal("2", _log.Get("a"));
    }

    [Fact]
    public void A_deleted_record_leaves_nothing_to_expire()
    {
        var version = _log.One(0, Command.Put(B("a"), B("1"), ttlMs: 10)).Version;
        _log.Apply(0, Command.Put(B("b"), B("1"), ttlMs: 20));
        _log.Apply(0, Command.CompareAndDelete(B("a"), version), Command.Delete(B("b")));
        Assert.Equal(long.MaxValue, _log.Machine.NextExpiryMs);
        _log.Apply(0, Command.Put(B("a"), B("2")));
        _log.Apply(1000);
        Assert.Equal("2", _log.Get("a"));
    }

    [Fact]
    public void The_log_time_never_goes_back_and_a_slower_leader_cuts_no_life_short()
    {
        _log.Apply(1000);
        _log.Apply(400, Command.Put(B("a"), B("1"), ttlMs: 100));
        Assert.Equal(1000, _log.Machine.LogTimeMs);
        Assert.Equal(1100, _log.Machine.NextExpiryMs);
        _log.Apply(1099);
        Assert.Equal("1", _log.Get("a"));
    }

    [Fact]
    public void A_life_past_the_end_of_time_is_one_without_end()
    {
        _log.Apply(1000, Command.Put(B("a"), B("1"), ttlMs: long.MaxValue));
        _log.Apply(long.MaxValue - 1);
        Assert.Equal("1", _log.Get("a"));
    }

    [Fact]
    [Trait("Hazard", "8")]
    public void Replicas_that_apply_at_different_times_remove_the_same_records_in_the_same_entries()
    {
        // One replica applies each entry at once; the other, as after a restart, all of them much later and on another
        // engine. Nothing but the entries can tell them the time.
        var random = new SplitMix64(8);
        var model = new LogOf(new SortedStore(), AllSlots);
        var digests = new List<ulong>();
        var stampMs = 1_000_000L;
        for (var i = 0; i < 2000; i++)
        {
            stampMs += random.Below(30);
            _log.Apply(stampMs, [.. Enumerable.Range(0, (int)random.Below(4)).Select(_ => RandomCommand(ref random))]);
            digests.Add(_log.Machine.StateDigest());
        }

        for (var i = 0; i < digests.Count; i++)
        {
            model.Apply(_log.Entries[i], null);
            Assert.Equal(digests[i], model.Machine.StateDigest());
        }

        Assert.Equal(_log.Machine.NextExpiryMs, model.Machine.NextExpiryMs);
    }

    private Command RandomCommand(ref SplitMix64 random)
    {
        var key = B($"k{random.Below(40)}");
        var ttlMs = random.Chance(0.5) ? random.Below(400) : 0;
        var version = random.Chance(0.7) ? _log.Machine.Get(key).Version : new Version(1, 0, (ulong)random.Below(2000), (ulong)random.Below(3));
        return random.Below(6) switch
        {
            0 => Command.Put(key, B($"{random.Below(100)}"), ttlMs),
            1 => Command.PutIfAbsent(key, B($"{random.Below(100)}"), ttlMs),
            2 => Command.Delete(key),
            3 => Command.CompareAndSwap(key, version, B("swapped"), ttlMs),
            4 => Command.Increment(key, random.Below(9) - 4),
            _ => Command.CompareAndDelete(key, version),
        };
    }

    private void FillWithEarlierExpiries()
    {
        for (var i = 0; i < 2; i++)
        {
            var n = i;
            _log.Apply(900, [.. Enumerable.Range(0, StateMachine.MaxExpiredPerEntry / 2 + 10).Select(k => Command.Put(B($"early-{n}-{k}"), B("x"), ttlMs: 150))]);
        }
    }
}
