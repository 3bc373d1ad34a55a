using System.Collections.Concurrent;
using Flotilla.Contracts;
using Flotilla.Raft;
using Flotilla.Wire.Peers;
using Flotilla.Wire.Rpc;
using Pb = Flotilla.Wire.Protos;

namespace Flotilla.Node.Members;

/// <summary>How an attempt to adopt a node ended.</summary>
/// <param name="Code">Done: it belongs to this cluster, durably, now or since long; else why not.</param>
/// <param name="Detail">For what is not done: in words, with what to do.</param>
internal sealed record Adoption(ChangeCode Code, string? Detail);

/// <summary>
/// Tells nodes of this cluster, when an operator wants them in it: a node that waits enters then. Nothing else makes it call, so
/// that no node comes to belong to a cluster that nobody gave it to. Thread-safe.
/// </summary>
/// <param name="self">This node.</param>
/// <param name="cluster">What there is to tell.</param>
internal sealed class Adopter(NodeId self, Func<JoinAnswer> cluster)
{
    private static readonly TimeSpan CallPatience = TimeSpan.FromSeconds(3);

    private readonly ConcurrentDictionary<(NodeId Node, string Address), Task<Adoption>> _calls = [];

    /// <summary>Tells a node of this cluster. Null if it has not answered within <paramref name="patience"/>: the attempt goes on, and whoever asks again hears of it.</summary>
    public async Task<Adoption?> TellAsync(NodeId node, string address, TimeSpan patience)
    {
        var key = (node, address);
        var call = _calls.GetOrAdd(key, static (key, adopter) => Task.Run(() => adopter.CallAsync(key.Node, key.Address)), this);
        await ((Task)call).WaitAsync(patience).ConfigureAwait(ConfigureAwaitOptions.SuppressThrowing);
        if (!call.IsCompleted)
        {
            return null;
        }

        _calls.TryRemove(KeyValuePair.Create(key, call));
        return await call;
    }

    private async Task<Adoption> CallAsync(NodeId node, string address)
    {
        if (!HostPort.TryParse(address, out var target, out var problem))
        {
            return new Adoption(ChangeCode.Unreachable, $"node {node} can't be reached: {problem}");
        }

        try
        {
            using var channel = new RpcChannel(target);
            var ask = JoinCodec.ToProto(new AdoptAsk(PeerFrame.ProtocolVersion, node, self, cluster()));
            _ = await channel.UnaryAsync(JoinCodec.AdoptPath, ask, Pb.AdoptReply.Parser, CallPatience);
            return new Adoption(ChangeCode.Done, null);
        }
        catch (RpcException e)
        {
            var words = e.Status.Message is { Length: > 0 } said ? said : e.Message;
            return e.Status.FlotillaCode switch
            {
                "wrong_node" => new Adoption(ChangeCode.WrongNode, $"at {address} {words}"),
                "other_cluster" => new Adoption(ChangeCode.OtherCluster, $"at {address} {words}"),
                _ => new Adoption(ChangeCode.Unreachable, $"node {node} can't be reached at {address}: {words}. Start it there with --join, or check its address"),
            };
        }
    }
}
