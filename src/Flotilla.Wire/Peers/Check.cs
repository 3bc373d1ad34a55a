using System.Diagnostics.CodeAnalysis;
using Flotilla.Raft;
using Google.Protobuf;

namespace Flotilla.Wire.Peers;

/// <summary>The checks that decoding has in common, and the small conversions that carry one.</summary>
internal static class Check
{
    /// <summary>The longest node id, address or state in characters.</summary>
    public const int MaxNameChars = 255;

    /// <summary>The longest explanation in characters.</summary>
    public const int MaxTextChars = 4096;

    /// <summary>Throws unless <paramref name="condition"/> holds.</summary>
    public static void That([DoesNotReturnIf(false)] bool condition, string otherwise)
    {
        if (!condition)
        {
            throw new PeerFormatException(otherwise);
        }
    }

    /// <summary>A node id that must be there.</summary>
    public static NodeId Node(string text)
    {
        That(text.Length is > 0 and <= MaxNameChars, "a node id is empty or too long");
        return new NodeId(text);
    }

    /// <summary>A node id, or none for an empty one.</summary>
    public static NodeId NodeOrNone(string text) => text.Length == 0 ? default : Node(text);

    /// <summary>A short text that must be there.</summary>
    public static string Name(string text)
    {
        That(text.Length is > 0 and <= MaxNameChars, "a name is empty or too long");
        return text;
    }

    /// <summary>A text, or null for an empty one.</summary>
    public static string? Optional(string text, int maxChars = MaxNameChars)
    {
        That(text.Length <= maxChars, "a text is too long");
        return text.Length == 0 ? null : text;
    }

    /// <summary>A key that must be there. How long it may be is the replica's to say: a client's long key must not cut the stream of all others.</summary>
    public static ReadOnlyMemory<byte> Key(ByteString key)
    {
        That(key.Length > 0, "a key is empty");
        return key.Memory;
    }

    /// <summary>A number of 63 bits.</summary>
    public static long NonNegative(ulong value)
    {
        That(value <= long.MaxValue, "a number is out of range");
        return (long)value;
    }

    /// <summary>A number between two bounds, both included.</summary>
    public static int Between(uint value, int low, int high, string otherwise)
    {
        That(value >= (uint)low && value <= (uint)high, otherwise);
        return (int)value;
    }

    /// <summary>Wraps bytes without copying them.</summary>
    public static ByteString Wrap(ReadOnlyMemory<byte> bytes) => bytes.IsEmpty ? ByteString.Empty : UnsafeByteOperations.UnsafeWrap(bytes);
}
