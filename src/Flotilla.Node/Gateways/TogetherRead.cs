using System.Text;
using Flotilla.Data;
using Flotilla.Node.Cluster;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Topology;
using Flotilla.Wire.Peers;

namespace Flotilla.Node.Gateways;

/// <summary>
/// Reads several keys of one shard at one moment: a page of just these keys. What a page does not speak of, since a slot is on its way or has
/// gone, is no answer about it, and the whole page is asked for again; keys that have come to live in several shards are refused.
/// </summary>
/// <remarks>
/// Why all values are of one moment, after the request came: they are from one applied state of one replica, behind one read index, and
/// that state owns all of their slots and has none of them frozen.
/// </remarks>
/// <param name="cluster">Who owns what.</param>
/// <param name="read">Reads a page of one shard, with retries.</param>
/// <param name="ended">Calls are given up.</param>
internal sealed class TogetherRead(ClusterState cluster, Func<Ask, ValueTask<Outcome>> read, CancellationToken ended)
{
    private const double MinPauseMs = 2;
    private const double MaxPauseMs = 20;

    private static readonly Comparer<ReadOnlyMemory<byte>> ByBytes = Comparer<ReadOnlyMemory<byte>>.Create(static (a, b) => a.Span.SequenceCompareTo(b.Span));

    /// <summary>Reads until one shard has spoken of all keys, something else than a page is the answer, or time is up. The records come in the order of <paramref name="keys"/>.</summary>
    public async Task<ScanAnswer> RunAsync(IReadOnlyList<ReadOnlyMemory<byte>> keys, int maxBytes, CallOptions options, Instant deadline)
    {
        var sorted = new SortedSet<ReadOnlyMemory<byte>>(keys, ByBytes);
        var request = new ScanRequest(default, default, sorted.Count, maxBytes) { Keys = [.. sorted] };
        var slots = SlotSet.Of(keys.Select(static key => Slot.Of(key.Span)));
        for (var pauseMs = MinPauseMs; ; pauseMs = Math.Min(pauseMs * 2, MaxPauseMs))
        {
            var changed = cluster.TableChanged;
            var table = cluster.Table;
            var owners = table.OwnersOf(slots);
            if (owners.Count > 1)
            {
                return new ScanAnswer(ResultCode.CrossShard, [], null, default, default, null, Apart(table, keys));
            }

            if (owners.Count == 1)
            {
                var outcome = await read(new Ask(CallKind.Scan, default, request, owners[0].Shard, options.Stale, options.Forward, deadline));
                if (outcome is not { Code: ResultCode.Ok, Page: { } page })
                {
                    return new ScanAnswer(outcome.Code, [], null, owners[0].Shard, outcome.Leader, cluster.HttpOf(outcome.Leader), outcome.Detail);
                }

                if (page.More)
                {
                    return new ScanAnswer(ResultCode.TooLarge, [], null, owners[0].Shard, default, null, $"the values take more than {request.MaxBytes >> 20} MiB together: ask for fewer keys at once");
                }

                if (slots.IsSubsetOf(page.Slots))
                {
                    return new ScanAnswer(ResultCode.Ok, InOrderOf(keys, page.Records), null, owners[0].Shard, default, null, null);
                }
            }

            if (NodeClock.Now >= deadline || ended.IsCancellationRequested)
            {
                return owners.Count == 0
                    ? new ScanAnswer(ResultCode.NoQuorum, [], null, default, default, null, "this process has not learned yet which shard owns these keys")
                    : new ScanAnswer(ResultCode.SlotMoving, [], null, owners[0].Shard, default, null, "the keys' slots were on their way to another shard during each attempt");
            }

            await Course.UntilAsync(changed, Math.Min(pauseMs, deadline.MsSince(NodeClock.Now)), ended);
        }
    }

    private static List<Record> InOrderOf(IReadOnlyList<ReadOnlyMemory<byte>> keys, IReadOnlyList<Record> records)
    {
        var found = new SortedDictionary<ReadOnlyMemory<byte>, Record>(ByBytes);
        foreach (var record in records)
        {
            found.Add(record.Key, record);
        }

        return [.. keys.Where(found.ContainsKey).Select(key => found[key])];
    }

    // Two keys that show it, and what to do.
    private static string Apart(RoutingTable table, IReadOnlyList<ReadOnlyMemory<byte>> keys)
    {
        var first = keys.First(key => table.Of(key.Span) is not null);
        var shard = table.Of(first.Span)!.Shard;
        var other = keys.First(key => table.Of(key.Span) is { } route && route.Shard != shard);
        return $"\"{Shown(first)}\" lives in shard {shard} and \"{Shown(other)}\" in shard {table.Of(other.Span)!.Shard}. Keys with the same hash tag, like {{user1}}name and {{user1}}mail, always share a shard";
    }

    private static string Shown(ReadOnlyMemory<byte> key) => Encoding.UTF8.GetString(key.Span[..Math.Min(key.Length, 60)]);
}
