using Flotilla.Raft;

namespace Flotilla.Node.Peers;

/// <summary>The way to one other process, whether its stream stands or not. Thread-safe.</summary>
internal sealed class PeerLink(NodeId peer, bool isRouter)
{
    private PeerSession? _session;
    private string? _address;

    /// <summary>The other process.</summary>
    public NodeId Peer => peer;

    /// <summary>It has no replicas.</summary>
    public bool IsRouter => isRouter;

    /// <summary>Its RPC address (<c>HOST:PORT</c>), or null if not known.</summary>
    public string? Address
    {
        get => Volatile.Read(ref _address);
        set => Volatile.Write(ref _address, value);
    }

    /// <summary>The stream that stands, or null.</summary>
    public PeerSession? Session => Volatile.Read(ref _session);

    /// <summary>What the dialler last said in the log, so that it does not repeat itself.</summary>
    public string? LastComplaint { get; set; }

    /// <summary>Puts a newer stream in place; the older one is cut.</summary>
    public void Install(PeerSession session) => Interlocked.Exchange(ref _session, session)?.Close();

    /// <summary>The stream has ended. False if a newer one stands already.</summary>
    public bool Remove(PeerSession session) => Interlocked.CompareExchange(ref _session, null, session) == session;
}
