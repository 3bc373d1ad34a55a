using System.Text;
using Flotilla.Node.Gateways;
using Flotilla.Shards;
using Flotilla.Topology;

namespace Flotilla.Node.Tests.Parts;

public sealed class PageMergerTests
{
    [Theory]
    [InlineData("a c e|b d", 10, "a b c d e", null)]
    [InlineData("a c e|b d", 3, "a b c", "d")]
    [InlineData("a c e+|b d", 10, "a b c d e", "e\0")]
    [InlineData("a b+|c d", 10, "a b", "b\0")]
    [InlineData("a b|", 2, "a b", null)]
    [InlineData("|", 5, "", null)]
    [InlineData("a b+|a1 c+", 3, "a a1 b", "b\0")]
    public void Records_come_in_order_up_to_where_every_shard_has_spoken(string pages, int limit, string expected, string? next)
    {
        var merged = PageMerger.Merge([.. pages.Split('|').Select(p => new PagePart(Page(p), null))], limit, out var actualNext);
        Assert.Equal(expected, string.Join(' ', merged.Select(r => Encoding.UTF8.GetString(r.Key.Span))));
        Assert.Equal(next, actualNext is { } key ? Encoding.UTF8.GetString(key.Span) : null);
    }

    [Theory]
    [InlineData("a b c", "b d", 10, "a b c d", null)]
    [InlineData("a b c+", "b d", 10, "a b c", "c\0")]
    [InlineData("a b c+", "b d+", 2, "a b", "c")]
    [InlineData("a c+", "b+", 10, "a b", "b\0")]
    [InlineData("b+", "b c", 10, "b", "b\0")]
    [InlineData("", "b d+", 10, "b", "d\0")]
    public void Of_a_page_only_the_records_of_its_slots_count_but_it_speaks_of_all_keys_up_to_its_last(string first, string second, int limit, string expected, string? next)
    {
        // The slot of b is the second page's, all others the first's.
        var one = SlotSet.Of([Slot.Of("b"u8)]);
        var merged = PageMerger.Merge([new PagePart(Page(first), SlotSet.All.Except(one)), new PagePart(Page(second), expected.Contains('d', StringComparison.Ordinal) ? SlotSet.Of([Slot.Of("b"u8), Slot.Of("d"u8)]) : one)], limit, out var actualNext);
        Assert.Equal(expected, string.Join(' ', merged.Select(r => Encoding.UTF8.GetString(r.Key.Span))));
        Assert.Equal(next, actualNext is { } key ? Encoding.UTF8.GetString(key.Span) : null);
    }

    private static ScanPage Page(string keys)
    {
        var more = keys.EndsWith('+');
        var records = keys.TrimEnd('+').Split(' ', StringSplitOptions.RemoveEmptyEntries)
            .Select(k => new Data.Record(Encoding.UTF8.GetBytes(k), default, default, 0)).ToArray();
        return new ScanPage(ResultCode.Ok, records, more);
    }
}
