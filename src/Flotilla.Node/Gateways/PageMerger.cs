using Flotilla.Data;
using Flotilla.Shards;
using Flotilla.Topology;

namespace Flotilla.Node.Gateways;

/// <summary>What counts of a shard's page.</summary>
/// <param name="Page">The page.</param>
/// <param name="Slots">Only the records of these slots; null for all.</param>
internal readonly record struct PagePart(ScanPage Page, SlotSet? Slots);

/// <summary>Merges one page of each shard into one page of all.</summary>
internal static class PageMerger
{
    /// <summary>
    /// The first records in key order. A shard that has more says nothing of the keys after its page's last one, so the
    /// merged page ends there at the latest.
    /// </summary>
    /// <param name="pages">Pages of all shards, each from the same key on; each slot is in one of them.</param>
    /// <param name="limit">At most so many records.</param>
    /// <param name="next">The key to go on from (inclusive), or null if there is certainly nothing more.</param>
    public static List<Record> Merge(IReadOnlyList<PagePart> pages, int limit, out ReadOnlyMemory<byte>? next)
    {
        var merged = new List<Record>(limit);
        var places = new int[pages.Count];
        var end = EndOf(pages);
        while (true)
        {
            var first = -1;
            for (var i = 0; i < pages.Count; i++)
            {
                places[i] = SkipOthers(pages[i], places[i]);
                if (places[i] < pages[i].Page.Records.Count && (first < 0 || KeyAt(i).SequenceCompareTo(KeyAt(first)) < 0))
                {
                    first = i;
                }
            }

            if (first < 0 || (end is { } last && KeyAt(first).SequenceCompareTo(last.Span) > 0))
            {
                next = end is { } stop ? Successor(stop) : default(ReadOnlyMemory<byte>?);
                return merged;
            }

            var record = pages[first].Page.Records[places[first]];
            if (merged.Count == limit)
            {
                next = record.Key;
                return merged;
            }

            merged.Add(record);
            places[first]++;
        }

        ReadOnlySpan<byte> KeyAt(int page) => pages[page].Page.Records[places[page]].Key.Span;
    }

    // The last key that every page speaks of; null if all do to the end. A page that has more holds at least one record.
    private static ReadOnlyMemory<byte>? EndOf(IReadOnlyList<PagePart> pages)
    {
        ReadOnlyMemory<byte>? end = null;
        foreach (var (page, _) in pages)
        {
            if (page.More && (end is not { } least || page.Records[^1].Key.Span.SequenceCompareTo(least.Span) < 0))
            {
                end = page.Records[^1].Key;
            }
        }

        return end;
    }

    private static int SkipOthers(in PagePart part, int place)
    {
        while (part.Slots is { } slots && place < part.Page.Records.Count && !slots.Contains(Slot.Of(part.Page.Records[place].Key.Span)))
        {
            place++;
        }

        return place;
    }

    /// <summary>The smallest key above another: the same with a zero byte behind it.</summary>
    private static ReadOnlyMemory<byte> Successor(ReadOnlyMemory<byte> key)
    {
        var successor = new byte[key.Length + 1];
        key.Span.CopyTo(successor);
        return successor;
    }
}
