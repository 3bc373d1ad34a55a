using System.Numerics;

namespace Flotilla.Data.Tree;

/// <summary>
/// Makes pages, and keeps a few that the tree has outgrown for the next leaf that needs one of their size. Pages grow in
/// steps of an eighth, so a leaf wastes a sixteenth of a page on average, and the page that one leaf outgrows is what
/// another is about to grow into: under random inserts hardly a page is allocated or collected. Only pages that no
/// snapshot can see may come here.
/// </summary>
internal sealed class PagePool
{
    private const int Steps = 8;
    private const int KeptPerSize = 16;

    private readonly byte[][][] _kept;
    private readonly int[] _keptCount;
    private readonly int _stepShift;

    /// <summary>A pool for pages of at most <paramref name="pageBytes"/>, a power of two; larger ones are made but not kept.</summary>
    public PagePool(int pageBytes)
    {
        if (!BitOperations.IsPow2(pageBytes) || pageBytes < Steps * Steps)
        {
            throw new ArgumentOutOfRangeException(nameof(pageBytes), pageBytes, "A page's size must be a power of two of 64 or more.");
        }

        _stepShift = BitOperations.Log2((uint)(pageBytes / Steps));
        _kept = new byte[Steps + 1][][];
        _keptCount = new int[Steps + 1];
        for (var size = 1; size <= Steps; size++)
        {
            _kept[size] = new byte[KeptPerSize][];
        }
    }

    /// <summary>By how many bytes pages grow.</summary>
    public int StepBytes => 1 << _stepShift;

    /// <summary>The length of the smallest page with room for <paramref name="bytes"/>.</summary>
    public int Fit(int bytes) => (bytes + StepBytes - 1) & -StepBytes;

    /// <summary>A page of exactly <see cref="Fit"/> of <paramref name="bytes"/>; its content is arbitrary.</summary>
    public byte[] Take(int bytes)
    {
        var length = Fit(bytes);
        var size = length >> _stepShift;
        if (size == 0)
        {
            return [];
        }

        return size <= Steps && _keptCount[size] > 0
            ? _kept[size][--_keptCount[size]]
            : GC.AllocateUninitializedArray<byte>(length);
    }

    /// <summary>Takes back a page that nothing refers to any more.</summary>
    public void Return(byte[] page)
    {
        var size = page.Length >> _stepShift;
        if (size is > 0 and <= Steps && _keptCount[size] < KeptPerSize)
        {
            _kept[size][_keptCount[size]++] = page;
        }
    }
}
