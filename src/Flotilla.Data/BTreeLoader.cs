using Flotilla.Data.Tree;

namespace Flotilla.Data;

/// <summary>
/// Builds a <see cref="BTree"/> from records that come in key order, as those of a snapshot do: several times as fast as
/// putting them one by one, and with full leaves. Not thread-safe.
/// </summary>
public sealed class BTreeLoader
{
    private readonly TreeLimits _limits;
    private TreeLoader? _loader;
    private long _count;
    private long _bytes;

    /// <summary>A loader that has nothing yet.</summary>
    public BTreeLoader()
        : this(TreeLimits.Default)
    {
    }

    internal BTreeLoader(TreeLimits limits)
    {
        _limits = limits;
        _loader = new TreeLoader(limits);
    }

    private TreeLoader Loader => _loader ?? throw new InvalidOperationException("The tree has been handed out: a loader builds one.");

    /// <summary>Adds a record; its bytes are copied.</summary>
    /// <exception cref="ArgumentException">The key is not above the one before it, or longer than <see cref="BTree.MaxKeyBytes"/>.</exception>
    public void Add(ReadOnlySpan<byte> key, ReadOnlySpan<byte> value, Version version, long expiresAtMs)
    {
        if (key.Length > BTree.MaxKeyBytes)
        {
            throw new ArgumentException($"A key of {key.Length} bytes is over the tree's limit of {BTree.MaxKeyBytes}.", nameof(key));
        }

        if (_count > 0 && key.SequenceCompareTo(Loader.LastKey) <= 0)
        {
            throw new ArgumentException("Keys must be added in ascending order, each once.", nameof(key));
        }

        Loader.Add(key, value, version, expiresAtMs);
        _count++;
        _bytes += key.Length + value.Length;
    }

    /// <summary>The tree of all that was added, to be used like any other. Ends the loader.</summary>
    public BTree Finish()
    {
        var tree = new BTree(_limits, Loader.Finish(), _count, _bytes);
        _loader = null;
        return tree;
    }
}
