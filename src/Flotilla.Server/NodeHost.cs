using System.Net;
using System.Net.Sockets;
using Flotilla.Contracts;
using Flotilla.Contracts.Http;
using Flotilla.Node;
using Flotilla.Node.Hosting;
using Flotilla.Raft;
using Flotilla.Server.Grpc;
using Flotilla.Server.Http;
using Flotilla.Shards;
using Flotilla.Storage;
using Flotilla.Storage.Disk;
using Flotilla.Storage.Identity;
using Flotilla.Storage.Snapshots;
using Flotilla.Wire.Peers;
using Flotilla.Wire.Protos;
using Flotilla.Wire.Rpc;
using Microsoft.AspNetCore.Connections;
using Microsoft.Extensions.Logging;

namespace Flotilla.Server;

/// <summary>
/// The composition root of a node: data directory, log, replicas, streams, listeners, built from <see cref="NodeOptions"/>
/// and taken down in the reverse order. Made by <see cref="StartAsync(NodeOptions, ILoggerFactory, CancellationToken)"/>,
/// ended once by <see cref="StopAsync"/>, or by <see cref="AbortAsync"/> as a crash would.
/// </summary>
public sealed class NodeHost : IAsyncDisposable
{
    private static readonly TimeSpan RequestGrace = TimeSpan.FromSeconds(1);

    private readonly NodeOptions _options;
    private readonly ILoggerFactory _loggers;
    private DataDirectory? _directory;
    private Wal? _wal;
    private NodeShell? _shell;
    private RpcListener? _rpc;
    private HttpDoor? _http;
    private volatile string _complaint = "no answer yet";
    private int _ended;

    private NodeHost(NodeOptions options, ILoggerFactory loggers)
    {
        _options = options;
        _loggers = loggers;
    }

    /// <summary>The node's gateway, for callers in this process.</summary>
    public IGateway Gateway => Shell.Gateway;

    /// <summary>Changes of the cluster, for callers in this process.</summary>
    public IClusterChanges Changes => Shell.Changes;

    /// <summary>Watches, for callers in this process.</summary>
    public IWatches Watches => Shell.Watches;

    /// <summary>Completes, with the reason, if the node can't go on: its host must <see cref="AbortAsync"/> it and end the process.</summary>
    public Task<Exception> Failed => Shell.Failed;

    /// <summary>Where it serves HTTP, with the port that was given for port 0.</summary>
    public HostPort Http { get; private set; }

    /// <summary>Where it serves other nodes and gRPC clients.</summary>
    public HostPort Rpc { get; private set; }

    private NodeShell Shell => _shell ?? throw new InvalidOperationException("The node has not started.");

    /// <summary>
    /// Starts a node: returns when its listeners stand, not when its shards have leaders. A node that is to enter a cluster returns
    /// once it has: until then it serves probes, and answers everything else <c>not_joined</c>.
    /// </summary>
    /// <exception cref="NodeFailedException">It can't start; the message says why and what to do.</exception>
    public static Task<NodeHost> StartAsync(NodeOptions options, ILoggerFactory loggers, CancellationToken cancellation = default) =>
        StartAsync(options, loggers, wrapDisk: null, cancellation);

    /// <summary>The same, with something between the log and its disk.</summary>
    internal static async Task<NodeHost> StartAsync(NodeOptions options, ILoggerFactory loggers, Func<IDisk, IDisk>? wrapDisk, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(options);
        ArgumentNullException.ThrowIfNull(loggers);
        var host = new NodeHost(options, loggers);
        try
        {
            await host.BuildAsync(wrapDisk, cancellation);
            return host;
        }
        catch (Exception e)
        {
            await host.AbortAsync();
            throw e is DataDirectoryException or WalCorruptException or WalFormatException or SnapshotCorruptException or SnapshotFormatException or SnapshotMissingException or GenesisException
                ? new NodeFailedException(e.Message, e)
                : e;
        }
    }

    /// <summary>
    /// Stops in good order, so that no client sees an error: hands leadership over, stops listening, answers what is under way
    /// for up to a second, makes durable what waits, closes the streams and the log, unlocks the directory.
    /// </summary>
    public async Task StopAsync()
    {
        if (Interlocked.Exchange(ref _ended, 1) == 0)
        {
            await Shell.HandOverAsync();
            if (_http is not null)
            {
                await _http.StopAsync(RequestGrace);
            }

            // From here on nobody new is let in; streams that stand go on until the shell, or the end of the grace, closes them.
            using var grace = new CancellationTokenSource();
            var rpcStopped = _rpc?.StopAsync(grace.Token) ?? Task.CompletedTask;
            await Shell.SettleAsync();
            await Shell.StopAsync();
            grace.CancelAfter(RequestGrace);
            await rpcStopped;
            await CloseListenersAsync();
            CloseFiles();
        }
    }

    /// <summary>Ends it at once, as a crash would: no handover, no sync, connections are cut.</summary>
    public async Task AbortAsync()
    {
        if (Interlocked.Exchange(ref _ended, 1) == 0)
        {
            // The listeners first, as a dying process loses them with everything else: peers that probe must be refused.
            await CloseListenersAsync();
            if (_shell is not null)
            {
                await _shell.AbortAsync();
            }

            CloseFiles();
        }
    }

    /// <summary><see cref="AbortAsync"/>, unless it has ended already.</summary>
    public async ValueTask DisposeAsync() => await AbortAsync();

    private async Task BuildAsync(Func<IDisk, IDisk>? wrapDisk, CancellationToken cancellation)
    {
        var log = _loggers.CreateLogger("Flotilla.Node");
        _directory = OpenDirectory();
        foreach (var ignored in _directory.IgnoredFlags)
        {
            log.FlagIgnored(ignored);
        }

        if (_directory.ClusterId == 0 && !_options.Enters)
        {
            await BeginOrEnterAsync(_directory, log, cancellation);
        }

        var late = _directory.ClusterId == 0 ? await EnterAsync(_directory, log, cancellation) : null;

        // The flags of the first start count; where nodes are reached now is a matter of this start.
        var flags = _directory.Identity.Genesis;
        var genesis = flags.Compute();
        if (genesis.ClusterId != _directory.ClusterId)
        {
            // Its groups would be others than those of its log, and begin anew.
            throw new NodeFailedException($"{_directory.Path} belongs to cluster {_directory.ClusterId:x16}, and this release computes {genesis.ClusterId:x16} from the same flags. Nothing was changed. Start the node with the release that wrote it.");
        }

        genesis = genesis with { Members = [.. genesis.Members.Select(CurrentAddress)] };
        var disk = wrapDisk is null ? _directory.WalDisk : wrapDisk(_directory.WalDisk);
        _wal = wrapDisk is null ? _directory.OpenLog(_options.Wal) : Wal.Open(disk, _options.Wal with { Owner = _directory.Incarnation.Value });
        _shell = new NodeShell(_options, new NodeState(genesis, flags, _directory.Identity.Known, _directory.Identity.HasEntered, _directory.Incarnation, _directory.BootNumber, _wal, _directory.OpenSnapshots(_wal), () => disk.FreeBytes, _directory.Topology, _directory.Identity.LateShards, _directory.Host, _directory.Identity.Retired, _directory.Retire), _loggers);
        if (late is not null)
        {
            late.Arrive(_shell);
        }
        else
        {
            var shell = _shell;
            await ListenAsync(new Entrance(_options.NodeId, _directory.Incarnation, _directory.ClusterId), shell.Gateway, shell.Backups, shell.Changes, shell.Watches, Task.FromResult(shell), cancellation);
        }

        _shell.Start(Reachable(Http), Reachable(Rpc));
    }

    /// <summary>The data directory. Its cluster is not known yet if the node is to enter one.</summary>
    private DataDirectory OpenDirectory()
    {
        var flags = new GenesisFlags(_options.InitialCluster, _options.Shards, _options.Replicas) { Mode = _options.Mode }.Begin();
        if (!_options.Enters && _options.InitialCluster.All(m => m.Node != _options.NodeId))
        {
            throw new NodeFailedException(
                $"Node {_options.NodeId} is not in the initial cluster ({string.Join(", ", _options.InitialCluster.Select(m => m.Node))}). Add {_options.NodeId}={_options.Rpc} to --initial-cluster on every node, start this one under one of those ids, or let it enter a running cluster with --join HOST:RPC.");
        }

        if (_options.Enters && IsAnyAddress(_options.Rpc))
        {
            throw new NodeFailedException($"A node that joins tells the others where to find it, and nobody finds {_options.Rpc}: give --rpc the address of this machine that the others reach.");
        }

        // The first node of the first shard asks its peers before it begins a cluster.
        var asksFirst = !_options.Enters && Contacts.Of(_options) is not null;
        var clusterId = _options.Enters || asksFirst ? 0 : flags.Compute().ClusterId;
        var directory = DataDirectory.Open(new DataDirectoryOptions
        {
            Path = _options.DataDir,
            Node = _options.NodeId,
            Genesis = _options.Enters ? null : flags,
            ClusterId = clusterId,
        });
        try
        {
            var identity = directory.Identity;
            if (_options.Join is { } contact && identity is { ClusterId: not 0, HasEntered: false, Genesis.Members: [_] })
            {
                throw new NodeFailedException($"{directory.Path} holds a cluster of its own, which node {_options.NodeId} began by itself, so it can't enter that of {contact}. Start it without --join, or give it an empty data directory.");
            }

            if (identity.ClusterId == 0 && !_options.Enters && !asksFirst)
            {
                // It waited for a cluster before, and nobody has added it: it has promised nothing to anybody, so it may begin one.
                directory.BeginCluster(clusterId, flags);
            }

            return directory;
        }
        catch
        {
            directory.Dispose();
            throw;
        }
    }

    /// <summary>
    /// Begins a cluster, unless a peer has one: then this directory was begun anew, and what it would begin would be another cluster under
    /// the names of the first. Nothing listens meanwhile: the peers that are started with it wait for this node.
    /// </summary>
    private async Task BeginOrEnterAsync(DataDirectory directory, ILogger log, CancellationToken cancellation)
    {
        var contacts = Contacts.Of(_options)!;
        if (await Joiner.AskOnceAsync(contacts, _options.NodeId, directory.Incarnation, cancellation) is { } cluster)
        {
            Keep(directory, cluster);
            var names = contacts.Names;
            log.Joined(_options.NodeId, cluster.ClusterId, names, cluster.Nodes.Count);
            return;
        }

        var flags = new GenesisFlags(_options.InitialCluster, _options.Shards, _options.Replicas) { Mode = _options.Mode }.Begin();
        directory.BeginCluster(flags.Compute().ClusterId, flags);
    }

    private void Keep(DataDirectory directory, JoinAnswer answer) => directory.JoinCluster(
        answer.ClusterId, new GenesisFlags(answer.Members, answer.Shards, answer.Replicas) { Nonce = answer.Nonce, Mode = answer.Mode }, [.. answer.Nodes.Where(n => n.Node != _options.NodeId)]);

    /// <summary>Serves probes and says <c>not_joined</c> to all else, until the node has entered a cluster: because <c>--join</c> was answered, or because it was added at a member.</summary>
    private async Task<LateShell> EnterAsync(DataDirectory directory, ILogger log, CancellationToken cancellation)
    {
        JoinAnswer? cluster = null;
        var entrance = new Entrance(_options.NodeId, directory.Incarnation, answer =>
        {
            Keep(directory, answer);
            cluster = answer;
        });
        var late = new LateShell(() => new ClusterView(_options.NodeId, IsRouter: false, 0, [new NodeView(_options.NodeId, Http.ToString(), Rpc.ToString(), null, Alive: true)], [], [], 0));
        await ListenAsync(entrance, late, late, late, late, late.Arrived, cancellation);
        using var asked = CancellationTokenSource.CreateLinkedTokenSource(cancellation);
        var next = NotJoined(entrance) ?? "";
        log.WaitsToBeAdded(Http, Rpc, next);
        var contacts = Contacts.Of(_options);
        var asking = contacts is not null ? AskAsync(contacts, entrance, log, asked.Token) : Task.CompletedTask;
        var caller = default(NodeId);
        try
        {
            caller = await entrance.Entered.WaitAsync(cancellation);
        }
        finally
        {
            await asked.CancelAsync();
            await asking.ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        }

        if (caller.IsNone)
        {
            var names = contacts!.Names;
            log.Joined(_options.NodeId, cluster!.ClusterId, names, cluster.Nodes.Count);
        }
        else
        {
            log.Adopted(_options.NodeId, cluster!.ClusterId, caller, cluster.Nodes.Count);
        }

        return late;
    }

    private async Task AskAsync(Contacts contacts, Entrance entrance, ILogger log, CancellationToken cancellation)
    {
        entrance.Enter(await Joiner.AskAsync(contacts, _options.NodeId, _directory!.Incarnation, reason => _complaint = reason, log, cancellation), caller: default);
    }

    /// <summary>Why this node serves nothing, and what to do; null once it belongs to a cluster.</summary>
    private string? NotJoined(Entrance entrance)
    {
        if (entrance.Entered.IsCompletedSuccessfully)
        {
            return null;
        }

        var asks = Contacts.Of(_options) is { } contacts ? $" It asks {contacts.Names} for its cluster again and again ({_complaint})." : "";
        return $"Node {_options.NodeId} belongs to no cluster yet.{asks} {HowToAdd}";
    }

    /// <summary>
    /// The same for whoever calls by gRPC. It does not say what this node was told by the one that it asks: that may be a node that
    /// waits, too, or this one itself, and each complaint would hold the one before it.
    /// </summary>
    private string NotJoinedToPeers() => $"Node {_options.NodeId} belongs to no cluster yet. {HowToAdd}";

    private string HowToAdd => _options.Single is { } single ? HowToAddTo(single) : $"Add it at any node of the cluster: ./flotilla add-node {_options.NodeId} {Rpc} --endpoint http://HOST:PORT, or curl http://HOST:PORT/AddVoter/{Rpc}/{_options.NodeId}"
        + (_options.Join is null ? ", or start it as ./flotilla node with --join HOST:RPC." : ".");

    private string HowToAddTo(SingleShard single) => single.IsFirst
        ? $"Start the first node of a shard that has a cluster and is among its --peer-shards, or add it at any node of a cluster: curl 'http://HOST:PORT/addshard?shardID={single.Shard}&shardAddress={_options.Http}'."
        : $"Add it at a node of shard {single.Shard}: curl -d 'nodeid={single.Number}&addr={_options.Rpc}' http://HOST:PORT/raft/join.";

    private static bool IsAnyAddress(HostPort listen) =>
        IPAddress.TryParse(listen.Host, out var address) && (address.Equals(IPAddress.Any) || address.Equals(IPAddress.IPv6Any));

    /// <summary>Where others reach what listens on an address: one that stands for all of this machine's is told as the host that the initial cluster names.</summary>
    private HostPort Reachable(HostPort listen)
    {
        if (!IsAnyAddress(listen))
        {
            return listen;
        }

        // One that joined has given an RPC address at which others find it.
        var own = !_options.Enters ? _options.InitialCluster.First(m => m.Node == _options.NodeId).Rpc : _options.Rpc.ToString();
        return HostPort.TryParse(own, out var named, out _) ? listen with { Host = named.Host } : listen;
    }

    private ClusterMember CurrentAddress(ClusterMember member)
    {
        foreach (var current in _options.InitialCluster)
        {
            if (current.Node == member.Node)
            {
                return current;
            }
        }

        return member;
    }

    private async Task ListenAsync(Entrance entrance, IGateway gateway, IBackups backups, IClusterChanges changes, IWatches watches, Task<NodeShell> shell, CancellationToken cancellation)
    {
        var services = new RpcServices(_loggers)
        {
            Objection = path => !entrance.Entered.IsCompletedSuccessfully && !string.Equals(path, JoinCodec.AdoptPath, StringComparison.Ordinal)
                ? RpcStatus.WithCode(RpcCode.Unavailable, "not_joined", NotJoinedToPeers())
                : null,
        };
        services
            .Duplex(PeerCodec.StreamPath, async (stream, call) => await (await shell.WaitAsync(call.Cancellation)).AcceptPeerAsync(stream, call))
            .Unary<JoinRequest, JoinReply>(JoinCodec.Path, JoinRequest.Parser, async (request, call) => (await shell.WaitAsync(call.Cancellation)).Join(request))
            .Unary<AdoptRequest, AdoptReply>(JoinCodec.AdoptPath, AdoptRequest.Parser, (request, _) => ValueTask.FromResult(entrance.Adopt(request)));
        new KvService(gateway, new KvServiceOptions
        {
            ForwardDefault = _options.Forward,
            MaxKeyBytes = _options.Replica.MaxKeyBytes,
            MaxValueBytes = _options.Replica.MaxValueBytes,
        }, changes: changes).Register(services);
        try
        {
            _rpc = await RpcListener.StartAsync(_options.Rpc, services, _loggers, cancellation);
        }
        catch (Exception e) when (e is IOException or SocketException)
        {
            throw new NodeFailedException(
                e is AddressInUseException || e.InnerException is AddressInUseException
                    ? $"RPC can't listen on {_options.Rpc}: another process uses the port. Stop it (`ss -ltnp 'sport = :{_options.Rpc.Port}'` shows it), or choose another port with {_options.RpcFlag} HOST:PORT (and in --initial-cluster of a new cluster)."
                    : $"RPC can't listen on {_options.Rpc}: {e.Message} Choose another address with {_options.RpcFlag} HOST:PORT.",
                e);
        }

        Rpc = _options.Rpc with { Port = _rpc.Port };
        _http = HttpDoor.Build(
            new HttpDoorOptions
            {
                Listen = _options.Http,
                ForwardDefault = _options.Forward,
                MaxKeyBytes = _options.Replica.MaxKeyBytes,
                MaxValueBytes = _options.Replica.MaxValueBytes,
                NotJoined = () => NotJoined(entrance),
                Waiting = () => new WaitingDocument(_options.NodeId.Value, Reachable(Rpc).ToString(), _options.Single?.Shard.Value),
                Single = _options.Single?.Shard,
            },
            gateway, _loggers, backups, changes, watches);
        await _http.StartAsync(cancellation);
        Http = _options.Http with { Port = _http.Addresses[0].Port };
    }

    private async Task CloseListenersAsync()
    {
        if (_http is not null)
        {
            await _http.DisposeAsync();
        }

        if (_rpc is not null)
        {
            await _rpc.DisposeAsync();
        }
    }

    private void CloseFiles()
    {
        _wal?.Dispose();
        _directory?.Dispose();
    }
}
