using System.Net;
using System.Net.Http.Json;
using System.Net.Sockets;
using System.Text.Json;
using Flotilla.Contracts;
using Flotilla.Contracts.Http;
using Flotilla.Raft;
using Flotilla.Wire.Peers;
using Flotilla.Wire.Rpc;
using Pb = Flotilla.Wire.Protos;

namespace Flotilla.Node.Hosting;

/// <summary>What came of asking around once for a cluster.</summary>
/// <param name="Cluster">The first answer; null if nobody had one.</param>
/// <param name="Reason">Otherwise: what everybody said, in words.</param>
/// <param name="IsCertain">Otherwise: each of them said that it has none, or is not there at all. False if somebody is there and did not answer in time.</param>
public sealed record JoinAttempt(JoinAnswer? Cluster, string Reason, bool IsCertain);

/// <summary>
/// Whom a node without a cluster asks for one: the node of <c>--join</c>, by its RPC address, or the nodes of <c>--peer-shards</c>, by their
/// HTTP addresses. Immutable.
/// </summary>
public sealed class Contacts
{
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    private readonly HostPort? _rpc;
    private readonly IReadOnlyList<HostPort> _http;

    private Contacts(HostPort? rpc, IReadOnlyList<HostPort> http)
    {
        _rpc = rpc;
        _http = http;
    }

    /// <summary>Their addresses, as the operator gave them.</summary>
    public string Names => _rpc is { } rpc ? rpc.ToString() : string.Join(", ", _http);

    /// <summary>The flag that names them.</summary>
    public string Flag => _rpc is null ? "--peer-shards" : "--join";

    /// <summary>Whom a node asks; null if nobody: it waits until it is added, or begins a cluster.</summary>
    public static Contacts? Of(NodeOptions options)
    {
        ArgumentNullException.ThrowIfNull(options);
        return options.Join is { } contact ? new Contacts(contact, [])
            : options.Single is { IsFirst: true, Peers: { Count: > 0 } peers } ? new Contacts(null, peers)
            : null;
    }

    /// <summary>Asks each once, in turn, until one answers. Never throws but for a cancellation.</summary>
    /// <param name="self">The asker.</param>
    /// <param name="incarnation">Its data directory.</param>
    /// <param name="cancellation">Gives up.</param>
    public async Task<JoinAttempt> AskAsync(NodeId self, Incarnation incarnation, CancellationToken cancellation)
    {
        if (_rpc is { } contact)
        {
            return await AskRpcAsync(contact, self, incarnation, cancellation);
        }

        var (reasons, isCertain) = (new List<string>(), true);
        foreach (var peer in _http)
        {
            var (rpc, reason, isSure) = await FindAsync(peer, cancellation);
            var attempt = rpc is { } at ? await AskRpcAsync(at, self, incarnation, cancellation) : new JoinAttempt(null, reason, isSure);
            if (attempt.Cluster is not null)
            {
                return attempt;
            }

            reasons.Add($"{peer}: {attempt.Reason}");
            isCertain &= attempt.IsCertain;
        }

        return new JoinAttempt(null, string.Join("; ", reasons), isCertain);
    }

    private static async Task<JoinAttempt> AskRpcAsync(HostPort contact, NodeId self, Incarnation incarnation, CancellationToken cancellation)
    {
        try
        {
            using var channel = new RpcChannel(contact);
            var request = JoinCodec.ToProto(new JoinAsk(PeerFrame.ProtocolVersion, self, incarnation));
            var answer = JoinCodec.FromProto(await channel.UnaryAsync(JoinCodec.Path, request, Pb.JoinReply.Parser, Patience, cancellation));
            return Entrance.Doubt(answer) is { } doubt ? new JoinAttempt(null, doubt, IsCertain: false) : new JoinAttempt(answer, "", IsCertain: true);
        }
        catch (Exception e) when (e is RpcException or PeerFormatException && !cancellation.IsCancellationRequested)
        {
            // One that waits itself has nothing to tell but that; its words may be an answer to this very question.
            var waits = e is RpcException { Status.FlotillaCode: "not_joined" };
            var reason = waits ? $"{contact} waits itself: name a member, or begin a cluster"
                : e is RpcException { Status.Message: { Length: > 0 } words } ? words
                : e.Message;
            return new JoinAttempt(null, reason, waits);
        }
    }

    /// <summary>The RPC address of whoever serves at an HTTP address, if it belongs to a cluster.</summary>
    private static async Task<(HostPort? Rpc, string Reason, bool IsCertain)> FindAsync(HostPort peer, CancellationToken cancellation)
    {
        using var http = new HttpClient { Timeout = Patience };
        try
        {
            var status = await http.GetFromJsonAsync($"http://{peer}/status", DocumentsJson.Default.StatusDocument, cancellation);
            var rpc = status?.Nodes.FirstOrDefault(node => string.Equals(node.Id, status.Node, StringComparison.Ordinal))?.Rpc;
            return HostPort.TryParse(rpc, out var address, out _)
                ? (address, "", true)
                : (null, "no node answers there, only a router perhaps: name a node of a shard", false);
        }
        catch (HttpRequestException e) when (e.StatusCode == HttpStatusCode.ServiceUnavailable)
        {
            return (null, "it waits for a cluster itself", true);
        }
        catch (HttpRequestException e)
        {
            var nobody = e.InnerException is SocketException { SocketErrorCode: SocketError.ConnectionRefused };
            return (null, nobody ? "nobody listens there" : e.Message, nobody);
        }
        catch (Exception e) when (e is OperationCanceledException or JsonException or NotSupportedException && !cancellation.IsCancellationRequested)
        {
            return (null, e is OperationCanceledException ? "no answer in time" : "what answers there is no node", false);
        }
    }
}
