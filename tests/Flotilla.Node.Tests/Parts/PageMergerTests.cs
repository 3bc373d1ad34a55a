using System.Text;
using Flotilla.Node.Gateways;
using Flotilla.Shards;

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
        var merged = PageMerger.Merge([.. pages.Split('|').Select(Page)], limit, out var actualNext);
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
