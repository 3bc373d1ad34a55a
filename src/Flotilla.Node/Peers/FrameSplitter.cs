using Flotilla.Wire.Peers;
using Flotilla.Wire.Rpc;

namespace Flotilla.Node.Peers;

/// <summary>
/// Writes a batch as one frame, or as several when it is large: the other side refuses frames over the stream's limit, and
/// should begin with the first part before the last has arrived. One sender's own.
/// </summary>
internal sealed class FrameSplitter(ulong clusterId)
{
    // Far below the limit of 16 MiB, since one item more (an entry, a page) may put a frame over it.
    private const int FrameBytes = 2 << 20;

    private readonly PeerFrame _part = new();
    private int _bytes;

    /// <summary>Writes everything in <paramref name="frame"/>, without a flush.</summary>
    public void Write(PeerFrame frame, RpcDuplex stream)
    {
        frame.ClusterId = clusterId;
        _part.ClusterId = clusterId;
        if (Measure(frame) <= FrameBytes)
        {
            stream.Write(PeerCodec.ToProto(frame));
            return;
        }

        _part.Heartbeats.AddRange(frame.Heartbeats);
        foreach (var envelope in frame.Messages)
        {
            MakeRoom(PeerFrame.ApproximateBytes(envelope.Message), stream);
            _part.Messages.Add(envelope);
        }

        foreach (var reply in frame.Replies)
        {
            MakeRoom(PeerFrame.ApproximateBytes(reply), stream);
            _part.Replies.Add(reply);
        }

        foreach (var request in frame.Requests)
        {
            MakeRoom(PeerFrame.ApproximateBytes(request), stream);
            _part.Requests.Add(request);
        }

        foreach (var gossip in frame.Gossip)
        {
            MakeRoom(gossip.Length, stream);
            _part.Gossip.Add(gossip);
        }

        foreach (var handoff in frame.Handoffs)
        {
            MakeRoom(handoff.Message.Length, stream);
            _part.Handoffs.Add(handoff);
        }

        WritePart(stream);
    }

    private static long Measure(PeerFrame frame)
    {
        long bytes = 0;
        foreach (var envelope in frame.Messages)
        {
            bytes += PeerFrame.ApproximateBytes(envelope.Message);
        }

        foreach (var reply in frame.Replies)
        {
            bytes += PeerFrame.ApproximateBytes(reply);
        }

        foreach (var request in frame.Requests)
        {
            bytes += PeerFrame.ApproximateBytes(request);
        }

        foreach (var gossip in frame.Gossip)
        {
            bytes += gossip.Length;
        }

        foreach (var handoff in frame.Handoffs)
        {
            bytes += handoff.Message.Length;
        }

        return bytes;
    }

    private void MakeRoom(int bytes, RpcDuplex stream)
    {
        if (_bytes > 0 && _bytes + bytes > FrameBytes)
        {
            WritePart(stream);
        }

        _bytes += bytes;
    }

    private void WritePart(RpcDuplex stream)
    {
        if (!_part.IsEmpty)
        {
            stream.Write(PeerCodec.ToProto(_part));
            _part.Clear();
        }

        _bytes = 0;
    }
}
