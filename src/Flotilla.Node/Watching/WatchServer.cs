using Flotilla.Node.Cluster;
using Flotilla.Node.Gateways;
using Flotilla.Node.Loops;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Shards.Watching;
using Flotilla.Wire.Peers;

namespace Flotilla.Node.Watching;

/// <summary>
/// Answers questions of those who watch from a replica of this node, leader or follower: both have the same events at the same
/// positions. A question is answered within its time and leaves nothing behind, so a watch that goes away needs no word.
/// </summary>
internal sealed class WatchServer
{
    /// <summary>A watch asks one question per shard at a time; these are thousands of watches.</summary>
    private const int MaxWaiting = 16_384;

    /// <summary>Events passed over before a wanted one, in bytes, before others get their turn.</summary>
    private const int MaxScanned = 1 << 20;

    private int _waiting;

    /// <summary>Answers a question. Never throws.</summary>
    /// <param name="route">The shard.</param>
    /// <param name="local">Its replica here.</param>
    /// <param name="pull">The question.</param>
    /// <param name="waitMs">How long to wait for an answer that is worth sending.</param>
    /// <param name="cancellation">Nobody wants the answer any more.</param>
    public async Task<WatchReply> AnswerAsync(ShardRoute route, HostedReplica local, WatchPull pull, int waitMs, CancellationToken cancellation)
    {
        if (Interlocked.Increment(ref _waiting) > MaxWaiting)
        {
            Interlocked.Decrement(ref _waiting);
            return WatchReply.Of(PullCode.Overloaded);
        }

        try
        {
            var deadline = NodeClock.Now.PlusMs(waitMs);
            return pull.Kind switch
            {
                PullKind.End => await EndAsync(route, local, deadline),
                PullKind.Freeze => await FreezeAsync(local, pull, deadline),
                _ => await EventsAsync(local, pull, deadline, cancellation),
            };
        }
        finally
        {
            Interlocked.Decrement(ref _waiting);
        }
    }

    private static async ValueTask<WatchReply> EventsAsync(HostedReplica local, WatchPull pull, Instant deadline, CancellationToken cancellation)
    {
        var events = new List<ShardEvent>();
        var at = pull.From;
        while (true)
        {
            var (log, applied) = local.Feed.Now;
            if (at > EventPosition.After(applied))
            {
                return WatchReply.Of(PullCode.Behind);
            }

            if (!log.Read(at, applied, pull.Filter, pull.MaxBytes, MaxScanned, events, out var reached))
            {
                return WatchReply.Of(PullCode.Compacted);
            }

            at = reached;
            if (events.Count > 0 || cancellation.IsCancellationRequested || NodeClock.Now >= deadline)
            {
                return new WatchReply(PullCode.Ok, at, events);
            }

            if (at == EventPosition.After(applied))
            {
                await local.Feed.WaitAsync(applied, deadline.MsSince(NodeClock.Now), cancellation);
            }
        }
    }

    /// <summary>After a linearizable read here has been answered, everything acknowledged before it is applied here.</summary>
    private static async ValueTask<WatchReply> EndAsync(ShardRoute route, HostedReplica local, Instant deadline)
    {
        var read = new Ask(CallKind.Scan, default, new ScanRequest(default, default, Limit: 1, MaxBytes: 1), route.Shard, Stale: false, Forward: false, deadline);
        var outcome = await Attempts.LocalAsync(local, read, route.Leader.Leader);

        // A page is refused while a slot is frozen: by then the read was confirmed like any other.
        return outcome.Code switch
        {
            ResultCode.Ok or ResultCode.SlotMoving => new WatchReply(PullCode.Ok, EventPosition.After(local.Feed.Now.Applied), []),
            ResultCode.Overloaded => WatchReply.Of(PullCode.Overloaded),
            _ => WatchReply.Of(PullCode.NotServed),
        };
    }

    private static async ValueTask<WatchReply> FreezeAsync(HostedReplica local, WatchPull pull, Instant deadline)
    {
        // The move was accepted, so one that is not known any more was frozen, and closed long after.
        var asked = new TaskCompletionSource<bool>(TaskCreationOptions.RunContinuationsAsynchronously);
        if (!local.Loop.Inbox.Post(LoopInput.ForAct(local, (replica, _) => asked.TrySetResult(replica.Ownership.HasFrozen(pull.Move) ?? pull.Move <= replica.LastApplied))))
        {
            return WatchReply.Of(PullCode.NotServed);
        }

        try
        {
            if (!await asked.Task.WaitAsync(TimeSpan.FromMilliseconds(Math.Max(1, deadline.MsSince(NodeClock.Now)))))
            {
                return WatchReply.Of(PullCode.Behind);
            }
        }
        catch (TimeoutException)
        {
            // A loop that ended meanwhile never comes to it.
            return WatchReply.Of(PullCode.NotServed);
        }

        return WatchReply.Of(local.Feed.Now.Events.IsFreezeAhead(pull.From, pull.Move) switch
        {
            true => PullCode.NotYet,
            false => PullCode.Ok,
            null => PullCode.Compacted,
        });
    }
}
