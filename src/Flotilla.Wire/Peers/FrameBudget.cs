using System.Buffers;

namespace Flotilla.Wire.Peers;

/// <summary>
/// Bounds what a frame may turn into: an empty message takes two bytes on the wire and dozens as an object, so that a frame
/// of 16 MiB could ask for most of a gigabyte (hazard 55). Large frames are therefore walked once, without being kept, and
/// their parts counted before the parser sees them.
/// </summary>
internal static class FrameBudget
{
    /// <summary>Messages, entries, records and names that one frame may hold in all.</summary>
    public const int MaxParts = 1 << 17;

    /// <summary>Frames up to here cannot hold enough parts to matter.</summary>
    public const int FreeBytes = 64 << 10;

    // What repeats, and where to look inside: the field numbers of peer.proto.
    private enum Level
    {
        None,
        Leaf,
        Frame,
        Envelope,
        Votes,
        Append,
        Reply,
        Page,
        Watch,
    }

    /// <summary>Throws if the frame has more parts than any correct peer sends. What is malformed is left for the parser to find.</summary>
    public static void Check(in ReadOnlySequence<byte> frame)
    {
        if (frame.Length > FreeBytes)
        {
            CheckAll(frame);
        }
    }

    /// <summary>The same for a frame of any size.</summary>
    public static void CheckAll(in ReadOnlySequence<byte> frame)
    {
        var reader = new SequenceReader<byte>(frame);
        var parts = 0;
        Walk(ref reader, frame.Length, Level.Frame, ref parts);
    }

    private static Level Inside(Level level, ulong field) => (level, field) switch
    {
        (Level.Frame, 3) => Level.Envelope,
        (Level.Frame, 4) => Level.Leaf,
        (Level.Frame, 5) => Level.Reply,
        (Level.Frame, 7 or 8 or 9) => Level.Leaf,
        (Level.Envelope, 4) => Level.Votes,
        (Level.Envelope, 5) => Level.Append,
        (Level.Votes, 3) => Level.Leaf,
        (Level.Append, 3) => Level.Leaf,
        (Level.Reply, 3) => Level.Page,
        (Level.Reply, 17) => Level.Watch,
        (Level.Watch, 4) => Level.Leaf,
        (Level.Page, 2) => Level.Leaf,
        _ => Level.None,
    };

    /// <summary>False: malformed, so that nothing behind can be counted.</summary>
    private static bool Walk(ref SequenceReader<byte> reader, long length, Level level, ref int parts)
    {
        var end = reader.Consumed + length;
        while (reader.Consumed < end)
        {
            if (!TryVarint(ref reader, out var tag))
            {
                return false;
            }

            long skip;
            switch (tag & 7)
            {
                case 0:
                    if (!TryVarint(ref reader, out _))
                    {
                        return false;
                    }

                    continue;
                case 1:
                    skip = 8;
                    break;
                case 5:
                    skip = 4;
                    break;
                case 2 when TryVarint(ref reader, out var claimed) && claimed <= (ulong)(end - reader.Consumed):
                    skip = (long)claimed;
                    var inside = Inside(level, tag >> 3);
                    if (inside != Level.None && ++parts > MaxParts)
                    {
                        throw new PeerFormatException($"a frame has more than {MaxParts} parts");
                    }

                    if (inside > Level.Leaf)
                    {
                        if (!Walk(ref reader, skip, inside, ref parts))
                        {
                            return false;
                        }

                        continue;
                    }

                    break;
                default:
                    return false;
            }

            if (skip > end - reader.Consumed)
            {
                return false;
            }

            reader.Advance(skip);
        }

        return reader.Consumed == end;
    }

    private static bool TryVarint(ref SequenceReader<byte> reader, out ulong value)
    {
        value = 0;
        for (var shift = 0; shift < 64; shift += 7)
        {
            if (!reader.TryRead(out var b))
            {
                return false;
            }

            value |= (ulong)(b & 0x7f) << shift;
            if (b < 0x80)
            {
                return true;
            }
        }

        return false;
    }
}
