namespace Flotilla.Data.Tree;

/// <summary>
/// What all keys of a node begin with. Its first eight bytes are kept in the node, so that a search hardly ever needs to
/// look at one of the node's keys, a cache line far away, only to learn that the key sought begins so too.
/// </summary>
internal readonly struct SharedPrefix
{
    private readonly ulong _head;

    /// <summary>The first <paramref name="length"/> bytes of <paramref name="key"/>.</summary>
    public SharedPrefix(ReadOnlySpan<byte> key, int length)
    {
        Length = length;
        _head = KeyOrder.Head(key[..length], 0);
    }

    /// <summary>How many bytes all keys share.</summary>
    public int Length { get; }

    /// <summary>True if <see cref="AgainstHead"/> sees the whole of it.</summary>
    public bool IsShort => Length <= sizeof(ulong);

    /// <summary>
    /// Where a key stands to all keys that begin so, by the first eight bytes: negative when below them, positive when
    /// above, 0 when it begins so itself as far as these eight bytes tell.
    /// </summary>
    public int AgainstHead(ReadOnlySpan<byte> key)
    {
        if (Length == 0)
        {
            return 0;
        }

        var head = KeyOrder.Head(key, 0) & Mask;
        if (head != _head)
        {
            return head < _head ? -1 : 1;
        }

        // A key that is shorter than the prefix has the same head only if the prefix goes on with zeros: it is below.
        return key.Length < Math.Min(Length, sizeof(ulong)) ? -1 : 0;
    }

    /// <summary>The same by all bytes; <paramref name="member"/> is any key that begins so.</summary>
    public int Against(ReadOnlySpan<byte> key, ReadOnlySpan<byte> member) =>
        key.StartsWith(member[..Length]) ? 0 : key.SequenceCompareTo(member[..Length]);

    private ulong Mask => Length >= sizeof(ulong) ? ulong.MaxValue : ~(ulong.MaxValue >> (8 * Length));
}
