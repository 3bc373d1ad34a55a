using Flotilla.Data;
using Flotilla.Shards.Tests.Harness;
using Flotilla.Topology;
using static Flotilla.Shards.Tests.Harness.Words;

namespace Flotilla.Shards.Tests;

public sealed class ScanTests
{
    private readonly LogOf _log = new();

    [Fact]
    public void A_scan_goes_in_key_order_from_a_key_within_a_prefix()
    {
        _log.Apply(0, [.. "b/2 a b/1 c b/3 b b0".Split(' ').Select(k => Command.Put(B(k), B("v")))]);
        Assert.Equal("a b b/1 b/2 b/3 b0 c", Keys(_log.Machine.Scan(ScanOf())));
        Assert.Equal("b/1 b/2 b/3", Keys(_log.Machine.Scan(ScanOf("b/"))));
        Assert.Equal("b/2 b/3", Keys(_log.Machine.Scan(ScanOf("b/", "b/2"))));
        Assert.Equal("b/1 b/2 b/3", Keys(_log.Machine.Scan(ScanOf("b/", "a"))));
        Assert.Equal("", Keys(_log.Machine.Scan(ScanOf("b/", "c"))));
        Assert.Equal("c", Keys(_log.Machine.Scan(ScanOf("", "b1"))));
    }

    [Fact]
    public void A_page_says_whether_there_is_more()
    {
        _log.Apply(0, [.. "a b c".Split(' ').Select(k => Command.Put(B(k), B("v")))]);
        Assert.Equal("a b …", Keys(_log.Machine.Scan(ScanOf(limit: 2))));
        Assert.Equal("b c", Keys(_log.Machine.Scan(ScanOf(from: "a\0", limit: 2))));
        Assert.Equal("a b c", Keys(_log.Machine.Scan(ScanOf(limit: 3))));
    }

    [Fact]
    public void More_is_not_said_for_the_sake_of_records_outside_the_prefix_or_gone()
    {
        _log.Apply(0, Command.Put(B("a1"), B("v")), Command.Put(B("a2"), B("v"), ttlMs: 10), Command.Put(B("b"), B("v")));
        Assert.Equal("a1 …", Keys(_log.Machine.Scan(ScanOf("a", limit: 1))));
        _log.Apply(10);
        Assert.Equal("a1", Keys(_log.Machine.Scan(ScanOf("a", limit: 1))));
    }

    [Fact]
    public void A_page_stops_at_its_bytes_but_never_before_its_first_record()
    {
        _log.Apply(0, [.. "a b c".Split(' ').Select(k => Command.Put(B(k), new byte[1000]))]);
        Assert.Equal("a …", Keys(_log.Machine.Scan(ScanOf(maxBytes: 0))));
        Assert.Equal("a b …", Keys(_log.Machine.Scan(ScanOf(maxBytes: 2500))));
        Assert.Equal("a b c", Keys(_log.Machine.Scan(ScanOf(maxBytes: int.MaxValue))));
    }

    [Fact]
    public void A_page_is_bounded_even_if_the_request_is_not()
    {
        for (var i = 0; i < 12; i++)
        {
            _log.Apply(0, Command.Put(B($"{i:00}"), new byte[1 << 20]));
        }

        var page = _log.Machine.Scan(ScanOf(limit: 10_000, maxBytes: int.MaxValue));
        Assert.True(page.More);
        Assert.InRange(page.Records.Sum(r => r.Value.Length), 1, 4 << 20);
    }

    [Theory]
    [InlineData(0)]
    [InlineData(-1)]
    [InlineData(10_001)]
    public void A_limit_out_of_range_is_refused(int limit) =>
        Assert.Equal(ResultCode.BadRequest, _log.Machine.Scan(ScanOf(limit: limit)).Code);

    [Fact]
    public void Records_of_slots_that_are_not_owned_are_left_out()
    {
        var store = new BTree();
        store.Put("stray"u8, "x"u8, new Data.Version(1, 0, 1, 0), 0);
        var log = new LogOf(store, [Slot.Of("mine"u8)]);
        log.Apply(0, Command.Put(B("mine"), B("v")));
        Assert.Equal("mine", Keys(log.Machine.Scan(ScanOf())));
    }
}
