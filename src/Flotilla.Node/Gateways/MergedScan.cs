using Flotilla.Node.Cluster;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Topology;
using Flotilla.Wire.Peers;

namespace Flotilla.Node.Gateways;

/// <summary>
/// Reads one page of all shards together: a page of each, merged in key order. A page speaks of the slots that its shard served at
/// that moment; slots that were on their way are asked for again, from whoever owns them by then, until each slot is in one page.
/// </summary>
/// <remarks>
/// Why that is right. Each slot's records come from one page alone, read after the request came by a linearizable read of the slot's owner. So the
/// merged page has each key that was there all the time once, and whatever it shows of a key was true at some moment since the request
/// came. As much as without moves: pages of several shards are of several moments anyhow. A cursor is the key to go on from, and
/// says nothing of shards, so moves between two pages change nothing.
/// </remarks>
/// <param name="cluster">Who owns what.</param>
/// <param name="read">Reads a page of one shard, with retries.</param>
/// <param name="ended">Calls are given up.</param>
internal sealed class MergedScan(ClusterState cluster, Func<Ask, ValueTask<Outcome>> read, CancellationToken ended)
{
    private const string NothingKnown = "this process has not learned yet which shards own all slots: the nodes that know have not answered it";
    private const double MinPauseMs = 2;
    private const double MaxPauseMs = 20;

    /// <summary>Reads until every slot is in a page, something else than a page is the answer, or time is up.</summary>
    public async Task<ScanAnswer> RunAsync(ScanRequest request, CallOptions options, Instant deadline)
    {
        var pages = new List<PagePart>();
        var missing = SlotSet.All;
        for (var pauseMs = MinPauseMs; ; pauseMs = Math.Min(pauseMs * 2, MaxPauseMs))
        {
            var changed = cluster.TableChanged;
            var shards = await OwnersAsync(missing, deadline);
            if (shards.Count == 0)
            {
                return new ScanAnswer(ResultCode.NoQuorum, [], null, default, default, null, NothingKnown);
            }

            // All at once. Each gives a whole page: keys are spread by hash, yet a prefix may live in one shard alone.
            var outcomes = await Task.WhenAll(shards.Select(route => read(new Ask(CallKind.Scan, default, request, route.Shard, options.Stale, options.Forward, deadline)).AsTask()));
            for (var i = 0; i < outcomes.Length; i++)
            {
                if (outcomes[i] is not { Code: ResultCode.Ok, Page: { } page })
                {
                    return new ScanAnswer(outcomes[i].Code, [], null, shards[i].Shard, outcomes[i].Leader, cluster.HttpOf(outcomes[i].Leader), outcomes[i].Detail);
                }

                var part = page.Slots.Intersect(missing);
                if (!part.IsEmpty)
                {
                    pages.Add(new PagePart(page, part.Count == page.Slots.Count ? null : part));
                    missing = missing.Except(part);
                }
            }

            if (missing.IsEmpty)
            {
                var merged = PageMerger.Merge(pages, request.Limit, out var next);
                if (merged.Count > 0 || next is not { } from)
                {
                    return new ScanAnswer(ResultCode.Ok, merged, next, default, default, null, null);
                }

                // All that was read is of slots that went meanwhile. A page without records would pass for the last one.
                (request, pages, missing) = (request with { From = from }, [], SlotSet.All);
                continue;
            }

            if (NodeClock.Now >= deadline || ended.IsCancellationRequested)
            {
                return new ScanAnswer(ResultCode.SlotMoving, [], null, default, default, null, $"{missing.Count} slots were on their way to another shard during each attempt to list them");
            }

            await Course.UntilAsync(changed, Math.Min(pauseMs, deadline.MsSince(NodeClock.Now)), ended);
        }
    }

    // A page without the keys of some slots would pass for a whole one, so nothing is asked before every slot has an owner.
    private async ValueTask<IReadOnlyList<ShardRoute>> OwnersAsync(SlotSet slots, Instant deadline)
    {
        while (true)
        {
            var changed = cluster.TableChanged;
            var table = cluster.Table;
            if (table.IsComplete || NodeClock.Now >= deadline || ended.IsCancellationRequested)
            {
                return table.IsComplete ? table.OwnersOf(slots) : [];
            }

            await Course.UntilAsync(changed, deadline.MsSince(NodeClock.Now), ended);
        }
    }
}
