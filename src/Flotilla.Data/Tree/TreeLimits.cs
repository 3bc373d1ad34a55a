namespace Flotilla.Data.Tree;

/// <summary>Sizes that a tree is built to. The defaults were measured (docs/data.md); tests use small ones to get deep trees.</summary>
/// <param name="PageBytes">A leaf is split when its records and slots need more than this; a power of two of 64 to 16,384. A single record may need more.</param>
/// <param name="Fanout">Children of an inner node at most; 8 or more.</param>
/// <param name="InlineValueBytes">Values up to this length lie in the page, longer ones outside; up to 4 KiB.</param>
internal readonly record struct TreeLimits(int PageBytes, int Fanout, int InlineValueBytes)
{
    /// <summary>What the product uses.</summary>
    public static TreeLimits Default { get; } = new(4096, 64, 1024);

    /// <summary>A leaf that needs less than this is merged with a neighbour, or takes records from it.</summary>
    public int MinLeafBytes => PageBytes / 4;

    /// <summary>Two leaves become one if they need no more than this together: less than a page, so that the next insert doesn't split it again.</summary>
    public int MergedLeafBytes => PageBytes - (PageBytes / 8);
}
