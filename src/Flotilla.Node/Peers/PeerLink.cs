using Flotilla.Raft;
using Flotilla.Wire.Peers;

namespace Flotilla.Node.Peers;

/// <summary>The way to one other process, whether its stream stands or not. Thread-safe.</summary>
internal sealed class PeerLink(NodeId peer, bool isRouter)
{
    private PeerSession? _session;
    private string? _address;
    private int _dialling;

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

    /// <summary>Somebody sees to it that a stream stands.</summary>
    public bool IsDialled => Volatile.Read(ref _dialling) != 0;

    /// <summary>True the first time: whoever asks is to dial from then on.</summary>
    public bool BeginDialling() => Interlocked.Exchange(ref _dialling, 1) == 0;

    /// <summary>
    /// Why a stream that begins may not take the place of the one that stands, or null if it may. A restarted process may;
    /// another data directory may not, while the process of the first one lives: were two to take each other's place in
    /// turn, neither could take part.
    /// </summary>
    public string? Objection(Hello remote) => Objection(Session, remote);

    /// <summary>Puts a newer stream in place, and the older one is cut; unless there is an <see cref="Objection(Hello)"/>.</summary>
    public string? Install(PeerSession session)
    {
        while (true)
        {
            var seen = Session;
            if (Objection(seen, session.Remote) is { } reason)
            {
                return reason;
            }

            if (Interlocked.CompareExchange(ref _session, session, seen) == seen)
            {
                seen?.Close();
                return null;
            }
        }
    }

    /// <summary>The stream has ended. False if a newer one stands already.</summary>
    public bool Remove(PeerSession session) => Interlocked.CompareExchange(ref _session, null, session) == session;

    private static string? Objection(PeerSession? stands, Hello remote) =>
        stands is null || stands.Remote.Incarnation == remote.Incarnation
            ? null
            : $"another process speaks as {remote.Node} already, from another data directory ({stands.Remote.Incarnation.Value:x16}; this one is {remote.Incarnation.Value:x16}): stop one of the two. The newer one is let in as soon as the older one is gone";
}
