using Flotilla.Node.Cluster;
using Flotilla.Raft;
using Flotilla.Shards.Watching;
using Flotilla.Topology;
using Flotilla.Wire.Peers;
using Microsoft.Extensions.Logging;

namespace Flotilla.Node.Watching;

/// <summary>Begins watches: finds out where each shard's events end, or that those behind a cursor are still kept.</summary>
internal sealed class Watches(ClusterState cluster, IWatchSources sources, int maxWatches, TimeSpan timeout, ILogger log) : IWatches
{
    /// <summary>Of so many shards a cursor says that they are over when nothing of theirs is ahead any more: those that were born last.</summary>
    private const int KeptOver = 16;

    private const double UnheardPauseMs = 100;

    private int _open;

    /// <inheritdoc/>
    public async ValueTask<WatchOpening> OpenAsync(WatchRequest request, CancellationToken cancellation)
    {
        if (Interlocked.Increment(ref _open) > maxWatches)
        {
            Interlocked.Decrement(ref _open);
            return new WatchOpening(WatchOutcome.Overloaded, null, $"{maxWatches} watch here already. Ask another node, or try again later.");
        }

        var opening = new WatchOpening(WatchOutcome.NoQuorum, null, "cancelled");
        try
        {
            opening = await TryOpenAsync(request, cancellation);
        }
        catch (OperationCanceledException) when (cancellation.IsCancellationRequested)
        {
            // Nobody waits for the answer.
        }
        finally
        {
            if (opening.Stream is null)
            {
                Closed();
            }
            else
            {
                NodeMetrics.Watches.Add(1);
            }
        }

        return opening;
    }

    private void Closed() => Interlocked.Decrement(ref _open);

    private async ValueTask<WatchOpening> TryOpenAsync(WatchRequest request, CancellationToken cancellation)
    {
        var deadline = NodeClock.Now.PlusMs(timeout.TotalMilliseconds);
        var table = await TableAsync(deadline, cancellation);
        if (!table.IsComplete)
        {
            return new WatchOpening(WatchOutcome.NoQuorum, null, "this process has not learned yet which shards own all the slots: too few nodes of the cluster have answered it");
        }

        IReadOnlyList<(ShardId Shard, EventPosition At)> cursor = [];
        if (request.From is { } from)
        {
            if (!WatchCursor.TryDecode(from, out var of, out cursor))
            {
                return new WatchOpening(WatchOutcome.BadCursor, null, "The cursor is none that a watch gave: take it whole, from the id of an event.");
            }

            if (of != table.ClusterId)
            {
                return new WatchOpening(WatchOutcome.BadCursor, null, "The cursor is of another cluster.");
            }
        }

        if (!request.Forward && table.Shards.FirstOrDefault(static route => route.Serving is null) is { } missing)
        {
            var leader = missing.Leader.Leader;
            return new WatchOpening(WatchOutcome.NotLeader, null, $"this node has no replica of shard {missing.Shard} that votes", leader, cluster.HttpOf(leader));
        }

        // A node may be behind, and hear in a moment of a shard that the cursor names.
        var patience = NodeClock.Now.PlusMs(deadline.MsSince(NodeClock.Now) / 2);
        while (cursor.Any(c => c.At != EventPosition.Over && table.OfAny(c.Shard) is null && !cluster.IsRetired(c.Shard)) && NodeClock.Now < patience)
        {
            var changed = cluster.TableChanged;
            table = cluster.Table;
            await changed.WaitAsync(TimeSpan.FromMilliseconds(Math.Min(UnheardPauseMs, Math.Max(1, patience.MsSince(NodeClock.Now)))), cancellation).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            cancellation.ThrowIfCancellationRequested();
        }

        // One that is over may still stand in this node's table: it has not heard so.
        HashSet<ShardId> over = [.. cursor.Where(static c => c.At == EventPosition.Over).Select(static c => c.Shard)];
        ShardRoute[] living = [.. table.Shards.Where(route => !over.Contains(route.Shard))];
        var ends = await EndsAsync(living, request.Forward, deadline, cancellation);
        for (var i = 0; i < ends.Length; i++)
        {
            if (ends[i].Code != PullCode.Ok)
            {
                return new WatchOpening(WatchOutcome.NoQuorum, null, $"shard {living[i].Shard} had no leader that confirmed where its events end; no event was missed, try again");
            }
        }

        var begins = living.Select((route, i) => (Route: route, At: ends[i].Reached)).ToList();
        if (request.From is not null)
        {
            // One that has retired since answers for a while.
            cursor = [.. cursor.Where(static c => c.At != EventPosition.Over)];
            var past = cursor.Where(c => table.Of(c.Shard) is null).Select(c => table.OfAny(c.Shard)).OfType<ShardRoute>();
            begins = [.. living.Concat(past).Select(route => (route, cursor.FirstOrDefault(c => c.Shard == route.Shard).At))];
            var ahead = new HashSet<ShardId>();
            if (await LostAsync(table, cursor, begins, ends, over, ahead, request.Forward, deadline, cancellation) is { } lost)
            {
                return new WatchOpening(WatchOutcome.Compacted, null, lost);
            }

            // Its slots have been taken in everywhere before it retired: where no mark of that is ahead, none will come. But the node
            // where the cursor is used next may not have heard that it is retired: so the newest stay.
            over.IntersectWith(ahead.Concat(over.OrderDescending().Take(KeptOver)).ToHashSet());
        }

        return new WatchOpening(WatchOutcome.Open, new WatchStream(cluster, sources, request, begins, over, Closed, log), null);
    }

    private async ValueTask<RoutingTable> TableAsync(Instant deadline, CancellationToken cancellation)
    {
        while (true)
        {
            var changed = cluster.TableChanged;
            var leftMs = deadline.MsSince(NodeClock.Now);
            if (cluster.Table.IsComplete || leftMs <= 0)
            {
                return cluster.Table;
            }

            await changed.WaitAsync(TimeSpan.FromMilliseconds(Math.Ceiling(leftMs)), cancellation).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
            cancellation.ThrowIfCancellationRequested();
        }
    }

    // Also for one that resumes: where its cursor lies behind the end, the cursor is of another life of this cluster.
    private Task<WatchReply[]> EndsAsync(IReadOnlyList<ShardRoute> routes, bool forward, Instant deadline, CancellationToken cancellation)
    {
        var pull = new WatchPull(PullKind.End, default, default, 1);
        return Task.WhenAll(routes.Select(route =>
            sources.AskAsync(route, pull, (int)Math.Clamp(deadline.MsSince(NodeClock.Now), 1, 1000), forward, deadline, cancellation).AsTask()));
    }

    /// <summary>Why nobody can go on from a cursor without a gap; null if it can be done.</summary>
    private async ValueTask<string?> LostAsync(
        RoutingTable table, IReadOnlyList<(ShardId Shard, EventPosition At)> cursor, List<(ShardRoute Route, EventPosition At)> begins, WatchReply[] ends, HashSet<ShardId> over, HashSet<ShardId> ahead, bool forward, Instant deadline, CancellationToken cancellation)
    {
        const string Fresh = " Read the records anew, and watch without \"from\".";
        foreach (var (shard, _) in cursor)
        {
            if (table.OfAny(shard) is null)
            {
                return $"The cursor names shard {shard}, which is not there any more.{Fresh}";
            }
        }

        for (var i = 0; i < ends.Length; i++)
        {
            if (begins[i].At > ends[i].Reached)
            {
                return $"The cursor lies behind the end of shard {begins[i].Route.Shard}'s log: the data is not that which was watched.{Fresh}";
            }
        }

        var walks = await Task.WhenAll(begins.Select((begin, i) => WalkAsync(begin.Route, begin.At, i < ends.Length ? ends[i].Reached : begin.At, forward, deadline, cancellation)));
        for (var i = 0; i < walks.Length; i++)
        {
            var shard = begins[i].Route.Shard;
            if (walks[i] is not { } sources)
            {
                return $"Shard {shard} does not keep all events behind the cursor any more.{Fresh}";
            }

            ahead.UnionWith(sources);
            foreach (var source in sources)
            {
                if (!over.Contains(source) && begins.TrueForAll(begin => begin.Route.Shard != source) && cluster.IsRetired(source))
                {
                    return $"Slots came to shard {shard} from shard {source}, which is not there any more: what was done there is not kept.{Fresh}";
                }
            }
        }

        return null;
    }

    /// <summary>Walks over what one shard keeps behind a position: the shards from which slots came; null if not all of it is kept.</summary>
    private async Task<HashSet<ShardId>?> WalkAsync(ShardRoute route, EventPosition at, EventPosition end, bool forward, Instant deadline, CancellationToken cancellation)
    {
        var from = new HashSet<ShardId>();
        while (true)
        {
            // No key is empty, so that marks alone come.
            var reply = await sources.AskAsync(route, new WatchPull(PullKind.Events, at, new EventFilter(default, IsKey: true), 1), 1, forward, deadline, cancellation);
            if (reply.Code != PullCode.Ok)
            {
                return null;
            }

            from.UnionWith(reply.Events.Where(static mark => mark.Kind == ShardEventKind.Came).Select(static mark => mark.Source));
            if (reply.Reached <= at || reply.Reached >= end)
            {
                return from;
            }

            at = reply.Reached;
        }
    }
}
