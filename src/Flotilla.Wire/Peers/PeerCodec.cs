using System.Buffers;
using Flotilla.Raft;
using Google.Protobuf;
using Pb = Flotilla.Wire.Protos;

namespace Flotilla.Wire.Peers;

/// <summary>
/// Frames as <c>peer.proto</c> defines them. Payloads, keys and values are wrapped when written (the bytes must stay as they
/// are until the frame is out) and copied once when read. Everything read is checked: what no correct peer sends is a
/// <see cref="PeerFormatException"/>, so that what lies inside need not check again.
/// </summary>
public static class PeerCodec
{
    /// <summary>The method of the stream between nodes.</summary>
    public const string StreamPath = "/flotilla.peer.v1.Peer/Stream";

    // Fields of a later version are dropped instead of kept: kept ones would let a frame cost many times its size.
    private static readonly MessageParser<Pb.PeerFrame> Parser = Pb.PeerFrame.Parser.WithDiscardUnknownFields(true);

    /// <summary>The frame as a message to write with <see cref="Rpc.RpcDuplex.Write"/>.</summary>
    public static Pb.PeerFrame ToProto(PeerFrame frame)
    {
        ArgumentNullException.ThrowIfNull(frame);
        var proto = new Pb.PeerFrame { ClusterId = frame.ClusterId };
        if (frame.Hello is { } hello)
        {
            proto.Hello = HelloCodec.ToProto(hello);
        }

        foreach (var envelope in frame.Messages)
        {
            proto.Messages.Add(MessageCodec.ToProto(envelope));
        }

        foreach (var request in frame.Requests)
        {
            proto.Requests.Add(CallCodec.ToProto(request));
        }

        foreach (var reply in frame.Replies)
        {
            proto.Replies.Add(CallCodec.ToProto(reply));
        }

        foreach (var gossip in frame.Gossip)
        {
            proto.Gossip.Add(UnsafeByteOperations.UnsafeWrap(gossip));
        }

        foreach (var handoff in frame.Handoffs)
        {
            proto.Handoffs.Add(new Pb.Handoff { Group = handoff.Group.Value, Message = UnsafeByteOperations.UnsafeWrap(handoff.Message), PassOn = handoff.PassOn });
        }

        foreach (var loop in frame.Heartbeats)
        {
            proto.Heartbeats.Add(new Pb.NodeHeartbeat { Loop = loop });
        }

        return proto;
    }

    /// <summary>Reads a frame into <paramref name="into"/>, whose former contents go. Nothing in it refers to <paramref name="bytes"/> afterwards.</summary>
    /// <exception cref="PeerFormatException">It is no valid frame; <paramref name="into"/> then holds a part of it and must be cleared.</exception>
    public static void Decode(in ReadOnlySequence<byte> bytes, PeerFrame into)
    {
        ArgumentNullException.ThrowIfNull(into);
        into.Clear();
        FrameBudget.Check(bytes);
        Pb.PeerFrame proto;
        try
        {
            proto = Parser.ParseFrom(bytes);
        }
        catch (Exception e) when (e is not OutOfMemoryException)
        {
            // Not InvalidProtocolBufferException alone: fuzzing met an IndexOutOfRangeException in the library's parser.
            throw new PeerFormatException($"not a peer frame: {e.Message}", e);
        }

        into.ClusterId = proto.ClusterId;
        into.Hello = proto.Hello is { } hello ? HelloCodec.FromProto(hello) : null;
        foreach (var envelope in proto.Messages)
        {
            into.Messages.Add(MessageCodec.FromProto(envelope));
        }

        foreach (var request in proto.Requests)
        {
            into.Requests.Add(CallCodec.FromProto(request));
        }

        foreach (var reply in proto.Replies)
        {
            into.Replies.Add(CallCodec.FromProto(reply));
        }

        foreach (var gossip in proto.Gossip)
        {
            // Sealed, and checked by whoever opens it; only its length is the frame's matter.
            Check.That(gossip.Length is > 0 and <= PeerFrame.MaxGossipBytes, "a message of gossip is empty or too long");
            into.Gossip.Add(gossip.Memory);
        }

        foreach (var handoff in proto.Handoffs)
        {
            Check.That(handoff.Group != 0 && handoff.Message.Length > 0, "a message about a move is for no group, or empty");
            into.Handoffs.Add(new HandoffEnvelope(new GroupId(handoff.Group), handoff.Message.Memory, handoff.PassOn));
        }

        foreach (var heartbeat in proto.Heartbeats)
        {
            Check.That(heartbeat.Loop < PeerFrame.MaxLoops, "a heartbeat is of a loop that no node has");
            into.Heartbeats.Add(heartbeat.Loop);
        }
    }
}
