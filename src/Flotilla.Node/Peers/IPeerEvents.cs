using Flotilla.Raft;
using Flotilla.Wire.Peers;

namespace Flotilla.Node.Peers;

/// <summary>What the transport tells its process. Called from the streams' tasks; must not block.</summary>
internal interface IPeerEvents
{
    /// <summary>A Raft message has arrived.</summary>
    void OnMessage(Hello from, in PeerEnvelope envelope);

    /// <summary>A call was forwarded here.</summary>
    void OnRequest(PeerSession session, in CallRequest request);

    /// <summary>A message of gossip has arrived, sealed.</summary>
    void OnGossip(Hello from, ReadOnlyMemory<byte> message);

    /// <summary>A loop of another node lives: its heartbeat stands in for those of its quiet groups.</summary>
    void OnHeartbeat(Hello from, uint loop);

    /// <summary>A message about a move of slots has arrived.</summary>
    /// <exception cref="PeerFormatException">It can't be read; the stream is cut.</exception>
    void OnHandoff(in HandoffEnvelope envelope);

    /// <summary>A stream stands; nothing was sent on it yet but the Hello.</summary>
    void OnUp(PeerSession session);

    /// <summary>A stream has ended.</summary>
    void OnDown(PeerSession session);

    /// <summary>A peer's stream has ended and a reconnect was refused: its process is gone.</summary>
    void OnGone(NodeId peer);
}
