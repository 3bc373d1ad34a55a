using Flotilla.Data;
using Flotilla.Shards;

namespace Flotilla.Node.Gateways;

/// <summary>Merges one page of each shard into one page of all.</summary>
internal static class PageMerger
{
    /// <summary>
    /// The first records in key order. A shard that has more says nothing of the keys after its page's last one, so the
    /// merged page ends there at the latest.
    /// </summary>
    /// <param name="pages">One page of each shard, each from the same key on.</param>
    /// <param name="limit">At most so many records.</param>
    /// <param name="next">The key to go on from (inclusive), or null if there is certainly nothing more.</param>
    public static List<Record> Merge(IReadOnlyList<ScanPage> pages, int limit, out ReadOnlyMemory<byte>? next)
    {
        var merged = new List<Record>(limit);
        var places = new int[pages.Count];
        next = null;
        while (true)
        {
            var first = -1;
            for (var i = 0; i < pages.Count; i++)
            {
                if (places[i] == pages[i].Records.Count)
                {
                    if (pages[i].More)
                    {
                        // A page that has more holds at least one record, and all of it has been merged.
                        next = Successor(merged[^1].Key);
                        return merged;
                    }

                    continue;
                }

                if (first < 0 || pages[i].Records[places[i]].Key.Span.SequenceCompareTo(pages[first].Records[places[first]].Key.Span) < 0)
                {
                    first = i;
                }
            }

            if (first < 0)
            {
                return merged;
            }

            if (merged.Count == limit)
            {
                next = pages[first].Records[places[first]].Key;
                return merged;
            }

            merged.Add(pages[first].Records[places[first]++]);
        }
    }

    /// <summary>The smallest key above another: the same with a zero byte behind it.</summary>
    private static ReadOnlyMemory<byte> Successor(ReadOnlyMemory<byte> key)
    {
        var successor = new byte[key.Length + 1];
        key.Span.CopyTo(successor);
        return successor;
    }
}
