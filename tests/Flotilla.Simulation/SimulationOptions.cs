using Flotilla.Raft;
using Flotilla.Shards;
using Flotilla.Shards.Handoff;
using Flotilla.Topology.Descriptors;

namespace Flotilla.Simulation;

/// <summary>What one run is like. Most of it is drawn from the seed, so that runs differ in kind and not only in detail.</summary>
public sealed record SimulationOptions
{
    /// <summary>From this seed on slots move between shards.</summary>
    public const ulong FirstWithMoves = 10_001;

    /// <summary>From this seed on shards switch between the modes raft, sync and chain.</summary>
    public const ulong FirstWithModes = 20_001;

    /// <summary>Nodes in the cluster.</summary>
    public int Nodes { get; init; } = 3;

    /// <summary>First replicas of each shard; on all nodes unless members change.</summary>
    public int Replicas { get; init; } = 3;

    /// <summary>Members change: replicas are added and removed, and a wiped node is given its seat again.</summary>
    public bool Members { get; init; }

    /// <summary>Shards.</summary>
    public int Shards { get; init; } = 2;

    /// <summary>Clients.</summary>
    public int Clients { get; init; } = 5;

    /// <summary>Seconds of virtual time with faults; healing comes on top.</summary>
    public int Seconds { get; init; } = 60;

    /// <summary>Mean pause of a client between two operations, in milliseconds.</summary>
    public int ThinkMs { get; init; } = 80;

    /// <summary>Mean pause between two faults, in milliseconds.</summary>
    public int FaultEveryMs { get; init; } = 1500;

    /// <summary>Loss, duplication and detours of messages while nothing worse happens.</summary>
    public double Noise { get; init; }

    /// <summary>A disk may be replaced by an empty one.</summary>
    public bool Wipes { get; init; }

    /// <summary>Once in the run everything is mended but one thing that lasts, and the cluster must serve in spite of it (<see cref="Faults.LastingTrouble"/>).</summary>
    public bool Lasting { get; init; }

    /// <summary>Wall clocks are wrong from the start.</summary>
    public bool SkewedClocks { get; init; }

    /// <summary>Of a hundred writes so many go in a session of their gateway.</summary>
    public int InSessions { get; init; }

    /// <summary>Of a hundred writes so many have an idempotency key.</summary>
    public int UnderKeys { get; init; }

    /// <summary>Groups go quiet, and heartbeats of nodes stand in for theirs.</summary>
    public bool NodeHeartbeats { get; init; }

    /// <summary>Shards are added and removed, and slots move between them.</summary>
    public bool Moves { get; init; }

    /// <summary>How often a gateway takes any shard for the owner of a slot.</summary>
    public double WrongMaps { get; init; }

    /// <summary>Gateways look only now and then at what their node knows of slots.</summary>
    public bool OldMaps { get; init; }

    /// <summary>Whoever leads a shard seldom looks after its slots, and takes whatever is offered: then slots go where somebody sends them, and back.</summary>
    public bool SlowStewards { get; init; }

    /// <summary>Shards switch between modes.</summary>
    public bool Modes { get; init; }

    /// <summary>The mode that shards begin in.</summary>
    public ShardMode FirstMode { get; init; } = ShardMode.Raft;

    /// <summary>How much of a shard moves at a time.</summary>
    public HandoffLimits Limits { get; init; } = new();

    /// <summary>Limits of replicas.</summary>
    public ReplicaOptions Replica { get; init; } = new();

    /// <summary>Bytes of a segment of the log.</summary>
    public long SegmentBytes { get; init; } = 64 << 10;

    /// <summary>The kind of run that belongs to a seed.</summary>
    public static SimulationOptions For(ulong seed)
    {
        var chance = new Chance(seed ^ 0x5EEDF00D);
        var tight = chance.Hit(0.5);
        var other = new Chance(seed ^ 0x5A4B5407);
        var snapshots = other.Hit(0.75);
        var members = other.Hit(0.4);
        var once = new Chance(seed ^ 0x0A5CE11E);
        var quiet = new Chance(seed ^ 0x51E9CE77);
        var options = new SimulationOptions
        {
            Nodes = seed % 2 == 0 ? 3 : 5,
            Shards = 1 + chance.Below(3),
            Clients = 3 + chance.Below(6),
            ThinkMs = (int)chance.Between(30, 150) + (int)(quiet.Hit(0.3) ? quiet.Between(100, 400) : 0), // The slow ones let groups go quiet.
            FaultEveryMs = (int)chance.Between(300, 2500),
            Noise = chance.Hit(0.3) ? 0 : chance.Below(50) / 1000.0,
            Wipes = chance.Hit(0.15),
            SegmentBytes = chance.Hit(0.5) ? 8 << 10 : 64 << 10,
            InSessions = once.Hit(0.2) ? 0 : 45,
            UnderKeys = once.Hit(0.2) ? 0 : 30,
            NodeHeartbeats = quiet.Hit(0.7),
            Replica = new ReplicaOptions
            {
                // Sessions that soon expire, are soon full or too many; keys outlive any leap of a clock, but for those that nobody checks.
                Sessions = new SessionTerms(
                    once.Hit(0.5) ? once.Between(300, 8_000) : SessionTerms.Default.IdleMs,
                    once.Hit(0.5) ? 1 + once.Below(8) : SessionTerms.Default.Window,
                    once.Hit(0.3) ? 1 + once.Below(6) : SessionTerms.Default.MaxSessions,
                    once.Hit(0.15) ? 4 + once.Below(30) : SessionTerms.Default.MaxResults),
                IdempotencyKeys = new KeyTerms(10 * 3_600_000, once.Hit(0.1) ? once.Between(2_000, 40_000) : KeyTerms.Default.MaxBytes),
                SnapshotLogBytes = snapshots ? other.Between(1_000, 20_000) : 64 << 20,
                SnapshotRetryMs = 500,
                MaxEntryBytes = tight ? 300 : 256 << 10,
                Raft = new RaftOptions
                {
                    QuietAfterMs = (int)quiet.Between(1, 200),
                    LogTailBytes = other.Hit(0.7) ? 0 : 16 << 20,
                    MaxLagBytes = once.Hit(0.5) ? 0 : 256 << 20,
                    FullDiskBytes = other.Hit(0.7) ? 0 : 500,
                    SnapshotChunkBytes = other.Hit(0.5) ? 700 : 256 << 10,
                    SnapshotBytesPerSecond = (int)other.Between(20_000, 2_000_000),
                    SnapshotTimeoutMs = 3_000,
                    LogCacheBytes = chance.Hit(0.5) ? 2000 : 8 << 20,
                    MaxAppendBytes = !tight ? 1 << 20 : chance.Hit(0.5) ? 1 : 80 + chance.Below(800),
                    MaxInflightAppends = !tight ? 64 : chance.Hit(0.5) ? 1 : 1 + chance.Below(4),
                    MaxUncommittedBytes = chance.Hit(0.3) ? 300 + chance.Below(4000) : 32 << 20,
                },
            },
        };
        var nodes = chance.Hit(0.05) ? 1 : options.Nodes;
        options = options with { Nodes = nodes, Replicas = members ? Math.Min(3, nodes) : nodes, Members = members, Wipes = members ? other.Hit(0.5) : options.Wipes, Lasting = chance.Hit(0.5), SkewedClocks = chance.Hit(0.3) };
        var moves = seed >= FirstWithModes ? seed % 4 == 0 : seed >= FirstWithMoves;
        options = moves ? WithMoves(options, new Chance(seed ^ 0x4A4D0FF5)) : options;
        return seed >= FirstWithModes ? WithModes(options, new Chance(seed ^ 0x0C4A1F0D)) : options;
    }

    // What lasts must not stop a shard, and in a strict one it does. A disk that is gone for good must be left out some day.
    private static SimulationOptions WithModes(SimulationOptions options, Chance hand) => options with
    {
        Modes = true,
        Lasting = false,
        FirstMode = hand.Hit(0.3) ? ShardMode.Raft : hand.Hit(0.4) ? ShardMode.Sync : ShardMode.Chain,
        Replica = options.Replica with
        {
            HealAfterMs = !options.Wipes && hand.Hit(0.3) ? 0 : (int)hand.Between(200, 3_000),
            Raft = options.Replica.Raft with { RelayStallMs = (int)hand.Between(2, 120) },
        },
    };

    private static SimulationOptions WithMoves(SimulationOptions options, Chance hand) => options with
    {
        Moves = true,
        Seconds = 35, // Many replicas, and what moves is busy all the time.
        Lasting = false,
        Wipes = options.Wipes && options.Members,
        Limits = new HandoffLimits(1 + hand.Below(3), 1 + hand.Below(2), hand.Hit(0.5) ? 1024 : (int)hand.Between(300, 6_000)),
        Replica = options.Replica with
        {
            Handoffs = hand.Hit(0.3) ? new HandoffOptions() : new HandoffOptions
            {
                ChunkBytes = (int)hand.Between(100, 3_000),
                Window = 1 + hand.Below(4),
                LooksPerStep = (int)hand.Between(5, 200),
                PurgeLooks = (int)hand.Between(3, 100),
                SmallRestBytes = (int)hand.Between(100, 3_000),
                RoundMs = hand.Between(1, 30),
                RetryMs = hand.Between(30, 200),
                SlowRetryMs = hand.Between(200, 2_000),
                PatienceMs = hand.Between(1_000, 6_000),
                FrozenMs = hand.Between(40, 1_500),
            },
        },
        WrongMaps = hand.Hit(0.3) ? 0.05 : 0,
        SlowStewards = hand.Hit(0.3),
        OldMaps = hand.Hit(0.4),
    };
}
