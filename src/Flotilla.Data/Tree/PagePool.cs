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
    private readonly int _stepBytes;

    /// <summary>A pool for pages of at most <paramref name="pageBytes"/>, a multiple of 64; larger ones are made but not kept.</summary>
    public PagePool(int pageBytes)
    {
        _stepBytes = pageBytes / Steps;
        _kept = new byte[Steps + 1][][];
        _keptCount = new int[Steps + 1];
        for (var size = 1; size <= Steps; size++)
        {
            _kept[size] = new byte[KeptPerSize][];
        }
    }

    /// <summary>By how many bytes pages grow.</summary>
    public int StepBytes => _stepBytes;

    /// <summary>The length of the smallest page with room for <paramref name="bytes"/>.</summary>
    public int Fit(int bytes) => (bytes + _stepBytes - 1) / _stepBytes * _stepBytes;

    /// <summary>A page of exactly <see cref="Fit"/> of <paramref name="bytes"/>; its content is arbitrary.</summary>
    public byte[] Take(int bytes)
    {
        var length = Fit(bytes);
        var size = length / _stepBytes;
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
        var size = page.Length / _stepBytes;
        if (size is > 0 and <= Steps && _keptCount[size] < KeptPerSize)
        {
            _kept[size][_keptCount[size]++] = page;
        }
    }
}
