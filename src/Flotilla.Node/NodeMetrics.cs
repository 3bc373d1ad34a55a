using System.Diagnostics.Metrics;
using Flotilla.Shards;
using Flotilla.Wire.Peers;

namespace Flotilla.Node;

/// <summary>What the shell measures: meter <c>Flotilla.Node</c>, base units. One process is one node, so nothing names it.</summary>
internal static class NodeMetrics
{
    private static readonly Meter Meter = new("Flotilla.Node");

    /// <summary>Inputs that a shard loop took at once.</summary>
    public static readonly Histogram<int> LoopBatch = Meter.CreateHistogram<int>(
        "flotilla_loop_batch_inputs", "{input}", "Inputs that a shard loop took at once.",
        advice: new InstrumentAdvice<int> { HistogramBucketBoundaries = [1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024, 4096] });

    /// <summary>Seconds that writing and syncing one batch of the write-ahead log took.</summary>
    public static readonly Histogram<double> SyncSeconds = Meter.CreateHistogram<double>(
        "flotilla_wal_sync_seconds", "s", "Time to write and sync one batch of the write-ahead log.",
        advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.5, 1] });

    /// <summary>Seconds that writing one snapshot took.</summary>
    public static readonly Histogram<double> SnapshotSeconds = Meter.CreateHistogram<double>(
        "flotilla_snapshot_write_seconds", "s", "Time to write one shard's snapshot to its file.",
        advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.01, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30] });

    /// <summary>Payload bytes handed to the write-ahead log.</summary>
    public static readonly Counter<long> WalBytes = Meter.CreateCounter<long>("flotilla_wal_appended_bytes_total", "By", "Payload bytes handed to the write-ahead log.");

    /// <summary>Times that a replica of this node became leader.</summary>
    public static readonly Counter<long> LeaderElections = Meter.CreateCounter<long>("flotilla_elections_won_total", "{election}", "Times that a replica of this node became leader.");

    /// <summary>Replicas here whose groups are quiet.</summary>
    public static readonly UpDownCounter<long> QuietReplicas = Meter.CreateUpDownCounter<long>("flotilla_quiet_replicas", "{replica}", "Replicas of this node whose groups have nothing to do: heartbeats of nodes stand in for theirs.");

    /// <summary>Calls forwarded to another node.</summary>
    public static readonly Counter<long> Forwarded = Meter.CreateCounter<long>("flotilla_forwarded_calls_total", "{call}", "Calls forwarded to another node.");

    /// <summary>Calls by kind and outcome.</summary>
    public static readonly Counter<long> Calls = Meter.CreateCounter<long>("flotilla_calls_total", "{call}", "Calls of the gateway by kind and outcome.");

    /// <summary>Attempts of writes that ended without an answer and were made again under the same name.</summary>
    public static readonly Counter<long> WriteRetries = Meter.CreateCounter<long>("flotilla_write_retries_total", "{attempt}", "Attempts of writes that ended without an answer and were made again, to take effect once.");

    /// <summary>Sessions that this process's gateway opened.</summary>
    public static readonly Counter<long> SessionsOpened = Meter.CreateCounter<long>("flotilla_sessions_opened_total", "{session}", "Sessions that the gateway of this process opened.");

    /// <summary>Watches that stand.</summary>
    public static readonly UpDownCounter<long> Watches = Meter.CreateUpDownCounter<long>("flotilla_watches", "{watch}", "Watches that stand at this process.");

    /// <summary>Events handed to those who watch.</summary>
    public static readonly Counter<long> WatchEvents = Meter.CreateCounter<long>("flotilla_watch_events_total", "{event}", "Events handed to those who watch at this process.");

    /// <summary>Watches that were cut off since they fell behind.</summary>
    public static readonly Counter<long> WatchesCut = Meter.CreateCounter<long>("flotilla_watches_cut_total", "{watch}", "Watches cut off since their readers fell behind what the shards keep.");

    /// <summary>Bytes that wait to be sent to peers.</summary>
    public static readonly UpDownCounter<long> PeerQueueBytes = Meter.CreateUpDownCounter<long>("flotilla_peer_queue_bytes", "By", "Bytes that wait to be sent to peers.");

    /// <summary>Raft messages dropped because a peer's queue or a loop's inbox was full; Raft sends again.</summary>
    public static readonly Counter<long> MessagesDropped = Meter.CreateCounter<long>("flotilla_raft_messages_dropped_total", "{message}", "Raft messages dropped because a queue was full.");

    /// <summary>Bytes of gossip sent.</summary>
    public static readonly Counter<long> GossipBytes = Meter.CreateCounter<long>("flotilla_gossip_sent_bytes_total", "By", "Bytes of gossip sent to other processes.");

    /// <summary>Bytes sent to other shards to move slots.</summary>
    public static readonly Counter<long> HandoffBytes = Meter.CreateCounter<long>("flotilla_handoff_sent_bytes_total", "By", "Bytes sent to other nodes to move slots from shard to shard.");

    /// <summary>Messages about moves that were passed on.</summary>
    public static readonly Counter<long> HandoffsPassedOn = Meter.CreateCounter<long>("flotilla_handoff_passed_on_total", "{message}", "Messages about moves of slots that this node passed on between two leaders which do not reach each other.");

    /// <summary>Records staged at shards that this node leads.</summary>
    public static readonly Counter<long> MovedRecords = Meter.CreateCounter<long>("flotilla_moved_records_total", "{record}", "Records that moves brought to shards which this node leads.");

    /// <summary>Bytes of records and sessions that shards led here sent to others.</summary>
    public static readonly Counter<long> MovedBytes = Meter.CreateCounter<long>("flotilla_moved_bytes_total", "By", "Bytes of records and sessions that shards which this node leads sent to other shards, repetitions among them.");

    /// <summary>Moves from shards led here that ended.</summary>
    public static readonly Counter<long> MovesEnded = Meter.CreateCounter<long>("flotilla_moves_ended_total", "{move}", "Moves from shards which this node leads, by how they ended: done, cancelled before the slots were frozen, or aborted afterwards.");

    /// <summary>For how long the slots of a move were frozen, by its source's leader.</summary>
    public static readonly Histogram<double> MoveFrozenSeconds = Meter.CreateHistogram<double>(
        "flotilla_move_frozen_seconds", "s", "For how long nobody served the slots of one move.",
        advice: new InstrumentAdvice<double> { HistogramBucketBoundaries = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5] });

    /// <summary>Messages of gossip that could not be read.</summary>
    public static readonly Counter<long> GossipRefused = Meter.CreateCounter<long>("flotilla_gossip_refused_total", "{message}", "Messages of gossip that could not be read and were dropped.");

    private static readonly KeyValuePair<string, object?>[] KindTags = [default, new("kind", "write"), new("kind", "get"), new("kind", "scan")];

    private static readonly KeyValuePair<string, object?>[] OutcomeTags =
        [.. Enum.GetValues<ResultCode>().Select(code => new KeyValuePair<string, object?>("outcome", code.ToString()))];

    /// <summary>Counts one move that ended.</summary>
    public static void MoveEnded(string outcome) => MovesEnded.Add(1, new KeyValuePair<string, object?>("outcome", outcome));

    /// <summary>Counts one call of the gateway.</summary>
    public static void Count(CallKind kind, ResultCode code) => Calls.Add(1, KindTags[(int)kind], OutcomeTags[(int)code]);
}
