using Flotilla.Cli.Flags;
using Flotilla.Contracts;
using Flotilla.Node;
using Flotilla.Raft;
using Flotilla.Shards;

namespace Flotilla.Cli.Commands;

/// <summary><c>flotilla node</c>.</summary>
internal sealed class NodeCommand : CliCommand
{
    /// <summary>Given by whoever starts nodes as its children and keeps their standard input open.</summary>
    internal static readonly Toggle ExitWithInput = new("--exit-with-input", "End when standard input ends, as it does when the parent process is gone", hidden: true);

    private static readonly Flag<string> NodeName = new("--node-id", "NAME", "The node's name, unique in the cluster", Readers.NodeName);
    private static readonly Flag<HostPort> Http = new("--http", "HOST:PORT", "Where it serves clients over HTTP", Readers.Address);
    private static readonly Flag<HostPort> Rpc = new("--rpc", "HOST:PORT", "Where it serves other nodes", Readers.Address);
    private static readonly Flag<HostPort?> Resp = new("--resp", "HOST:PORT|off", "Redis protocol; comes later, so only off", Readers.OrOff<HostPort>(Readers.Address), "off");
    private static readonly Flag<HostPort?> RespCluster = new("--resp-cluster", "HOST:PORT|off", "Redis Cluster protocol; comes later, so only off", Readers.OrOff<HostPort>(Readers.Address), "off");
    private static readonly Flag<string> DataDir = new("--data-dir", "DIR", "Directory of its log; created if missing", Readers.SomeText);
    private static readonly Flag<IReadOnlyList<(string Node, HostPort Address)>> InitialCluster = new("--initial-cluster", "A=HOST:RPC,…", "All first nodes with their RPC addresses, this one among them; the same on each. By default this node alone", Readers.Members);
    private static readonly Flag<int?> ShardsPerNode = new("--shards-per-node", "N|off", "How many shards each first node of a new cluster brings, instead of --shards; and a node that enters a cluster", Readers.OrOff(Readers.Number(1, 1000)), "off");
    private static readonly Flag<Entering> Join = new("--join", "HOST:RPC|wait|off", "Enter the running cluster of that node, or wait until a node of one adds it (add-node); the cluster says what --initial-cluster, --shards and --replicas are; read at the first start", Entering.Read, "off");
    private static readonly Flag<bool> Forward = new("--forward", "on|off", "Pass requests on to the leader, or answer 409 not_leader with where it is", Readers.OnOff, "on");
    /// <summary>When the in-sync set gives a member up.</summary>
    internal static Flag<TimeSpan?> HealAfter { get; } = new("--heal-after", "TIME|off", "When the in-sync set of modes sync and chain gives a member up; no meaning in mode raft", Readers.OrOff(Readers.Time(TimeSpan.FromMilliseconds(1), TimeSpan.FromDays(1))), "10s");

    private static readonly Flag<int> GrpcPort = new("--grpc-port", "PORT", "RPC port on --host (instead of --rpc)", Readers.Number(0, 65535));
    private static readonly Flag<int> HttpPort = new("--http-port", "PORT", "HTTP port on --host (instead of --http)", Readers.Number(0, 65535));
    private static readonly Flag<string> Host = new("--host", "HOST", "Host of --grpc-port and --http-port; 127.0.0.1 if left out", Readers.SomeText);
    private static readonly Flag<IReadOnlyList<(string Node, HostPort Address)>> GrpcPeers = new("--grpc-peers", "B=HOST:PORT,…", "The other nodes' RPC addresses (instead of --initial-cluster)", Readers.Members);
    private static readonly Flag<IReadOnlyList<(string Node, HostPort Address)>> HttpPeers = new("--http-peers", "A=URL,…", "Nodes' HTTP addresses, for leader hints until the nodes tell them themselves", Readers.Members);

    public NodeCommand()
        : base(
            "node",
            "Runs one node until Ctrl-C or SIGTERM.",
            "flotilla node --node-id A --http 127.0.0.1:8001 --rpc 127.0.0.1:50051 --data-dir data/A --initial-cluster \"A=127.0.0.1:50051,B=127.0.0.1:50052,C=127.0.0.1:50053\"",
            "one of three nodes; start B and C alike",
            "flotilla node --node-id A --grpc-port 50051 --http-port 8001 --host 127.0.0.1 --grpc-peers \"B=127.0.0.1:50052,C=127.0.0.1:50053\" --data-dir data/A",
            "the same in other words: one shard unless --shards is given, and a node that does not lead answers 409 unless --forward on is",
            "flotilla node --node-id D --http 127.0.0.1:8004 --rpc 127.0.0.1:50054 --data-dir data/D --join 127.0.0.1:50051",
            "enters the running cluster of the node with that RPC address",
            "flotilla node --node-id E --http 127.0.0.1:8005 --rpc 127.0.0.1:50055 --data-dir data/E --join wait",
            "waits until a node of a cluster adds it: flotilla add-node E 127.0.0.1:50055")
    {
        Use(NodeName, Http, Rpc, DataDir, InitialCluster, NodeFlags.Shards, NodeFlags.Replicas, NodeFlags.Mode, Forward, HealAfter, NodeFlags.Insecure);
        Use(GrpcPort, HttpPort, Host, GrpcPeers, HttpPeers);
        Use(Resp, RespCluster, ShardsPerNode, Join, ExitWithInput);
        Use(NodeFlags.Tuning);
    }

    /// <inheritdoc/>
    public override Task<int> RunAsync(Invocation invocation) => RunAsync(invocation, Read(invocation));

    /// <summary>Runs a node until it is told to end.</summary>
    internal static async Task<int> RunAsync(Invocation invocation, NodeOptions options)
    {
        var shell = invocation.Shell;
        using var stop = InputWatch.Start(invocation.Get(ExitWithInput), shell);
        await shell.Runner.RunNodeAsync(options, shell.Err, stop.Token);
        return ExitCode.Done;
    }

    /// <summary>Likewise, of a command that derives where the node is from few flags: so it says where.</summary>
    internal static Task<int> SayAndRunAsync(Invocation invocation, NodeOptions options)
    {
        invocation.Shell.Err.WriteLine($"{options.NodeId}: HTTP on {options.Http}, RPC on {options.Rpc}, data in {options.DataDir}");
        return RunAsync(invocation, options);
    }

    /// <summary>The node that the settings describe. Throws <see cref="UsageException"/> for what makes no sense or comes later.</summary>
    internal static NodeOptions Read(Invocation invocation)
    {
        var mode = NodeFlags.ModeOf(invocation);
        foreach (var flag in new[] { Resp, RespCluster })
        {
            if (invocation.Get(flag) is not null)
            {
                throw new UsageException($"{flag.Name}: the Redis protocol comes later; only off is possible");
            }
        }

        var entering = invocation.Get(Join);
        var begins = new Flag[] { InitialCluster, GrpcPeers, NodeFlags.Shards, NodeFlags.Replicas, NodeFlags.Mode }.FirstOrDefault(f => invocation.WrittenAnywhere(f) is not null);
        if (entering.Enters && begins is not null)
        {
            throw new UsageException($"--join and {begins.Name} exclude each other: a node that enters a running cluster takes that cluster's");
        }

        var perNode = invocation.Get(ShardsPerNode);
        if (perNode is not null && invocation.WrittenAnywhere(NodeFlags.Shards) is not null)
        {
            throw new UsageException("--shards-per-node and --shards say the same in two ways: use either");
        }

        var name = invocation.Get(NodeName);
        var ported = new Flag[] { GrpcPort, HttpPort, Host, GrpcPeers, HttpPeers }.FirstOrDefault(f => invocation.WrittenAnywhere(f) is not null);
        var plain = new Flag[] { Http, Rpc, InitialCluster }.FirstOrDefault(f => invocation.WrittenAnywhere(f) is not null);
        if (ported is not null && plain is not null)
        {
            throw new UsageException($"{ported.Name} and {plain.Name} say the same in two ways: use either --http, --rpc and --initial-cluster, or --http-port, --grpc-port and --grpc-peers");
        }

        var options = ported is null ? ReadPlain(invocation, name) : ReadPorted(invocation, name);
        NodeFlags.CheckReach(invocation, (ported is null ? "--http" : "--host", options.Http), (ported is null ? "--rpc" : "--host", options.Rpc));
        if (perNode * options.InitialCluster.Count > Genesis.MaxShards)
        {
            throw new UsageException($"--shards-per-node {perNode} on {options.InitialCluster.Count} nodes are more than {Genesis.MaxShards} shards, with which a cluster begins at most");
        }

        return NodeFlags.Tune(invocation, options with
        {
            ShardsPerNode = perNode,
            Shards = perNode is { } each && !entering.Enters ? each * options.InitialCluster.Count : options.Shards,
            Join = entering.Contact,
            InitialCluster = entering.Enters ? [] : options.InitialCluster,
            Replicas = invocation.Get(NodeFlags.Replicas),
            Mode = mode,
            HealAfter = invocation.Get(HealAfter),
            Insecure = invocation.Get(NodeFlags.Insecure),
        });
    }

    private static NodeOptions ReadPlain(Invocation invocation, string name)
    {
        var rpc = invocation.Get(Rpc);
        var members = invocation.TryGet(InitialCluster, out var given) ? given : [(name, rpc)];
        return new NodeOptions
        {
            NodeId = new NodeId(name),
            Http = invocation.Get(Http),
            Rpc = rpc,
            DataDir = invocation.Get(DataDir),
            InitialCluster = Members(members, name, rpc, "--initial-cluster"),
            Shards = invocation.Get(NodeFlags.Shards),
            Forward = invocation.Get(Forward),
        };
    }

    /// <summary>The fourth ancestor's flags: its one shard, and its way of answering 409 with a hint.</summary>
    private static NodeOptions ReadPorted(Invocation invocation, string name)
    {
        var host = invocation.TryGet(Host, out var given) ? given : "127.0.0.1";
        if (!HostPort.TryParse(host.Contains(':', StringComparison.Ordinal) && host[0] != '[' ? $"[{host}]:0" : $"{host}:0", out var address, out var problem))
        {
            throw new UsageException($"--host: {problem}");
        }

        var rpc = address with { Port = invocation.Get(GrpcPort) };
        var peers = invocation.TryGet(GrpcPeers, out var others) ? others : [];
        var members = peers.Any(p => string.Equals(p.Node, name, StringComparison.Ordinal)) ? peers : [(name, rpc), .. peers];
        var http = invocation.TryGet(HttpPeers, out var known) ? known : [];
        return new NodeOptions
        {
            NodeId = new NodeId(name),
            Http = address with { Port = invocation.Get(HttpPort) },
            Rpc = rpc,
            DataDir = invocation.Get(DataDir),
            InitialCluster = Members(members, name, rpc, "--grpc-peers"),
            PeerHttp = http.ToDictionary(p => new NodeId(p.Node), p => p.Address),
            Shards = invocation.Has(NodeFlags.Shards) ? invocation.Get(NodeFlags.Shards) : 1,
            Forward = invocation.Has(Forward) && invocation.Get(Forward),
        };
    }

    private static List<ClusterMember> Members(IReadOnlyList<(string Node, HostPort Address)> members, string name, HostPort rpc, string flag)
    {
        var self = members.FirstOrDefault(m => string.Equals(m.Node, name, StringComparison.Ordinal));
        if (self.Node is null)
        {
            throw new UsageException($"{flag} must name this node too: {name}={rpc}");
        }

        if (self.Address.Port != rpc.Port && self.Address.IsLoopback && rpc.IsLoopback)
        {
            throw new UsageException($"{flag} says {name}={self.Address}, but this node listens for others at {rpc}: they would not find it");
        }

        foreach (var twice in members.GroupBy(m => m.Address).Where(g => g.Count() > 1))
        {
            throw new UsageException($"{flag} gives {string.Join(" and ", twice.Select(m => m.Node))} the same address {twice.Key}");
        }

        return [.. members.Select(m => new ClusterMember(new NodeId(m.Node), m.Address.ToString()))];
    }

    /// <summary>Whether the node enters a cluster, and whom it asks.</summary>
    private readonly record struct Entering(bool Enters, HostPort? Contact)
    {
        public static bool Read(string text, out Entering value, out string expected)
        {
            value = new Entering(!string.Equals(text, "off", StringComparison.OrdinalIgnoreCase), null);
            if (!value.Enters || string.Equals(text, "wait", StringComparison.OrdinalIgnoreCase))
            {
                expected = "";
                return true;
            }

            var good = Readers.Address(text, out var contact, out expected);
            expected += " (or wait, or off)";
            value = new Entering(true, contact);
            return good;
        }
    }
}
