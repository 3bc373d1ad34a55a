namespace Flotilla.Data.Tree;

/// <summary>
/// An entry of a page's directory, from its high bits: the key's head (4 bytes), the cell's distance from the end of the
/// page (2), the key's length (2).
/// </summary>
internal readonly record struct Slot
{
    /// <summary>Bytes of a slot.</summary>
    public const int Bytes = sizeof(ulong);

    private readonly ulong _bits;

    private Slot(ulong bits) => _bits = bits;

    /// <summary>The key's bytes behind the prefix that the page shares, see <see cref="KeyOrder.Head"/>.</summary>
    public uint Head => (uint)(_bits >> 32);

    /// <summary>How far before the end of the page the cell begins.</summary>
    public int Distance => (ushort)(_bits >> 16);

    /// <summary>Bytes of the key.</summary>
    public int KeyLength => (ushort)_bits;

    /// <summary>The slot of a key in a page whose keys share so many bytes.</summary>
    public static Slot For(ReadOnlySpan<byte> key, int shared, int distance) =>
        new(((ulong)HeadOf(key, shared) << 32) | ((ulong)distance << 16) | (uint)key.Length);

    /// <summary>The head of a key in a page whose keys share so many bytes.</summary>
    public static uint HeadOf(ReadOnlySpan<byte> key, int shared) => (uint)(KeyOrder.Head(key, shared) >> 32);

    /// <summary>The same slot for a cell that has moved.</summary>
    public Slot At(int distance) => new((_bits & ~0xffff_0000UL) | ((ulong)distance << 16));
}
