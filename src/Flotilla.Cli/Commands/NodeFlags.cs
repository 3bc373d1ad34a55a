using Flotilla.Cli.Flags;
using Flotilla.Contracts;
using Flotilla.Node;
using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Storage;
using Flotilla.Topology.Descriptors;

namespace Flotilla.Cli.Commands;

/// <summary>The flags that say how a node and its cluster are meant to be, shared by <c>node</c> and <c>dev</c>.</summary>
internal static class NodeFlags
{
    private static readonly TimeSpan OneMillisecond = TimeSpan.FromMilliseconds(1);
    private static readonly TimeSpan OneHour = TimeSpan.FromHours(1);

    /// <summary>How many shards.</summary>
    public static Flag<int> Shards { get; } = new("--shards", "N", "How many shards a new cluster has", Readers.Number(1, 1000), "3");

    /// <summary>How many replicas.</summary>
    public static Flag<int> Replicas { get; } = new("--replicas", "N", "How many replicas a shard of a new cluster is meant to have", Readers.Number(1, 7), "3");

    /// <summary>The replication mode.</summary>
    public static Flag<string> Mode { get; } = new("--mode", "MODE", "How the shards of a new cluster replicate: raft, sync or chain; flotilla mode switches one that runs", Readers.OneOf("raft", "sync", "chain", "quorum", "async"), "raft");

    /// <summary>Accepts addresses that others can reach.</summary>
    public static Toggle Insecure { get; } = new("--insecure", "Allow addresses beyond this machine, without TLS and without a password: whoever reaches them may read and write");

    private static Flag<TimeSpan> ElectionTimeout { get; } = new("--election-timeout", "TIME", "A follower that hears nothing for once to twice this long starts an election", Readers.Time(TimeSpan.FromMilliseconds(10), OneHour), "300ms");

    private static Flag<TimeSpan> Heartbeat { get; } = new("--heartbeat", "TIME", "How often a leader sends heartbeats; at most a third of --election-timeout", Readers.Time(OneMillisecond, OneHour), "50ms");

    private static Flag<TimeSpan> DiskStall { get; } = new("--disk-stall", "TIME", "A leader whose own disk is silent for so long hands leadership over", Readers.Time(OneMillisecond, OneHour), "1s");

    private static Flag<TimeSpan> RequestTimeout { get; } = new("--request-timeout", "TIME", "How long a client's call may take inside the cluster", Readers.Time(OneMillisecond, OneHour), "5s");

    private static Flag<long> SegmentSize { get; } = new("--segment-size", "SIZE", "Size of one file of the write-ahead log", Readers.Size(1 << 20, 4L << 30), "64MiB");

    private static Flag<long> MaxKey { get; } = new("--max-key", "SIZE", "Longest key", Readers.Size(1, 64 << 10), "4KiB");

    private static Flag<long> MaxValue { get; } = new("--max-value", "SIZE", "Longest value", Readers.Size(1, 64 << 20), "1MiB");

    private static Flag<long> MaxEntry { get; } = new("--max-entry", "SIZE", "Commands are gathered into log entries of about this size", Readers.Size(1 << 10, 64 << 20), "256KiB");

    private static Flag<int> MaxWaiting { get; } = new("--max-waiting", "N", "Requests that may wait in one replica before new ones are answered 429", Readers.Number(1, 10_000_000), "16384");

    private static Flag<long> MaxUncommitted { get; } = new("--max-uncommitted", "SIZE", "Uncommitted log of one shard over which new writes are answered 429", Readers.Size(1 << 10, 4L << 30), "32MiB");

    private static Flag<long> LogCache { get; } = new("--log-cache", "SIZE", "Log of one replica kept in memory for followers", Readers.Size(0, 4L << 30), "4MiB");

    /// <summary>Times and limits.</summary>
    public static IReadOnlyList<Flag> Tuning { get; } =
    [
        ElectionTimeout, Heartbeat, DiskStall, RequestTimeout, SegmentSize, MaxKey, MaxValue, MaxEntry, MaxWaiting, MaxUncommitted, LogCache,
    ];

    /// <summary>The mode that is given. Refuses what this version can't do yet, rather than do something else.</summary>
    public static ShardMode ModeOf(Invocation invocation) => ModeOf(invocation.Get(Mode));

    /// <summary>The mode of a name.</summary>
    public static ShardMode ModeOf(string name) =>
        ShardModes.TryParse(name, out var mode) && mode is ShardMode.Raft or ShardMode.Sync or ShardMode.Chain
            ? mode
            : throw new UsageException($"--mode {name} comes later; raft, sync and chain are built");

    /// <summary>Refuses to listen where others can reach it, unless the operator accepts that.</summary>
    public static void CheckReach(Invocation invocation, params (string Flag, HostPort Address)[] listeners)
    {
        foreach (var (flag, address) in listeners)
        {
            if (!address.IsLoopback && !invocation.Get(Insecure))
            {
                throw new UsageException($"{flag} {address} can be reached from other machines, and there is neither TLS nor a password yet: whoever reaches it may read and write everything. Use a loopback address, or accept that with --insecure.");
            }
        }
    }

    /// <summary>Puts times and limits into the options.</summary>
    public static NodeOptions Tune(Invocation invocation, NodeOptions options)
    {
        var election = Milliseconds(invocation.Get(ElectionTimeout));
        var heartbeat = Milliseconds(invocation.Get(Heartbeat));
        if (heartbeat * 3 > election)
        {
            throw new UsageException($"--heartbeat {heartbeat}ms is more than a third of --election-timeout {election}ms: one lost heartbeat would start elections");
        }

        return options with
        {
            RequestTimeout = invocation.Get(RequestTimeout),
            Wal = new WalOptions { SegmentBytes = invocation.Get(SegmentSize) },
            Replica = new ReplicaOptions
            {
                MaxKeyBytes = (int)invocation.Get(MaxKey),
                MaxValueBytes = (int)invocation.Get(MaxValue),
                MaxEntryBytes = (int)invocation.Get(MaxEntry),
                MaxWaiting = invocation.Get(MaxWaiting),
                Raft = new RaftOptions
                {
                    ElectionTimeoutMs = election,
                    HeartbeatMs = heartbeat,
                    DiskStallMs = Milliseconds(invocation.Get(DiskStall)),
                    MaxUncommittedBytes = (int)Math.Min(int.MaxValue, invocation.Get(MaxUncommitted)),
                    LogCacheBytes = (int)Math.Min(int.MaxValue, invocation.Get(LogCache)),
                },
            },
        };
    }

    /// <summary>The tuning flags that are given anywhere, as they would be written on a command line.</summary>
    public static IEnumerable<string> GivenTuning(Invocation invocation)
    {
        foreach (var flag in Tuning)
        {
            if (invocation.WrittenAnywhere(flag) is { } text)
            {
                yield return flag.Name;
                yield return text;
            }
        }
    }

    /// <summary>Throws for times and limits that make no sense, before anything is started with them.</summary>
    public static void CheckTuning(Invocation invocation) => _ = Tune(invocation, new NodeOptions
    {
        NodeId = new NodeId("n1"),
        Http = default,
        Rpc = default,
        DataDir = "",
        InitialCluster = [],
    });

    private static int Milliseconds(TimeSpan time) => Math.Max(1, (int)time.TotalMilliseconds);
}
