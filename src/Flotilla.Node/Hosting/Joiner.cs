using Flotilla.Contracts;
using Flotilla.Raft;
using Flotilla.Wire.Peers;
using Flotilla.Wire.Rpc;
using Microsoft.Extensions.Logging;
using Pb = Flotilla.Wire.Protos;

namespace Flotilla.Node.Hosting;

/// <summary>How a node without a cluster learns of one (<c>--join</c>).</summary>
public static class Joiner
{
    private const int MinPauseMs = 100;
    private const int MaxPauseMs = 2000;
    private static readonly TimeSpan Patience = TimeSpan.FromSeconds(2);

    /// <summary>Asks a node for its cluster, again and again until it answers, and says in the log why it did not, once per reason.</summary>
    /// <param name="contact">The RPC address of a node of the cluster.</param>
    /// <param name="self">The asker.</param>
    /// <param name="incarnation">Its data directory.</param>
    /// <param name="complain">Told each reason, too.</param>
    /// <param name="log">Where to complain.</param>
    /// <param name="cancellation">Gives up.</param>
    public static async Task<JoinAnswer> AskAsync(HostPort contact, NodeId self, Incarnation incarnation, Action<string> complain, ILogger log, CancellationToken cancellation)
    {
        ArgumentNullException.ThrowIfNull(complain);
        ArgumentNullException.ThrowIfNull(log);
        var request = JoinCodec.ToProto(new JoinAsk(PeerFrame.ProtocolVersion, self, incarnation));
        var pauseMs = MinPauseMs;
        string? said = null;
        while (true)
        {
            string reason;
            try
            {
                using var channel = new RpcChannel(contact);
                var answer = JoinCodec.FromProto(await channel.UnaryAsync(JoinCodec.Path, request, Pb.JoinReply.Parser, Patience, cancellation));
                if (Entrance.Doubt(answer) is not { } doubt)
                {
                    return answer;
                }

                reason = doubt;
            }
            catch (Exception e) when (e is RpcException or PeerFormatException && !cancellation.IsCancellationRequested)
            {
                // One that waits itself has nothing to tell but that; its words may be an answer to this very question.
                reason = e is RpcException { Status.FlotillaCode: "not_joined" } ? $"{contact} waits itself: name a member, or begin a cluster"
                    : e is RpcException { Status.Message: { Length: > 0 } words } ? words
                    : e.Message;
            }

            if (said != reason)
            {
                said = reason;
                complain(reason);
                log.CannotJoin(self, contact, reason);
            }

            await Task.Delay(pauseMs, cancellation);
            pauseMs = Math.Min(pauseMs * 2, MaxPauseMs);
        }
    }
}
