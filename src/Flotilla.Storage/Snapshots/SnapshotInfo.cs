using System.Globalization;
using Flotilla.Raft;

namespace Flotilla.Storage.Snapshots;

/// <summary>One complete snapshot file: which it is, and what it holds.</summary>
/// <param name="Group">The group whose state it is.</param>
/// <param name="Index">The last entry that the state includes; at least 1.</param>
/// <param name="Term">That entry's term.</param>
/// <param name="Id">Drawn at random for this very file: two snapshots of one index differ in it, even where they hold the same.</param>
/// <param name="Bytes">Length of the file.</param>
public sealed record SnapshotInfo(GroupId Group, LogIndex Index, Term Term, ulong Id, long Bytes)
{
    private const string Extension = ".snap";

    /// <summary>The file's name in the directory of snapshots: says all but the length.</summary>
    public string FileName => string.Create(CultureInfo.InvariantCulture, $"{Group.Value:x16}-{Index.Value:D20}-{Term.Value:D20}-{Id:x16}{Extension}");

    /// <summary>What Raft calls it.</summary>
    public SnapshotMeta Meta => new(Index, Term, Id, Bytes);

    /// <summary>What Raft calls <paramref name="meta"/>, of a group.</summary>
    public static SnapshotInfo Of(GroupId group, SnapshotMeta meta)
    {
        ArgumentNullException.ThrowIfNull(meta);
        return new SnapshotInfo(group, meta.Index, meta.Term, meta.Id, meta.Bytes);
    }

    /// <inheritdoc/>
    public override string ToString() => $"{Group}@{Index}/{Term} {Id:x16} ({Bytes} bytes)";

    /// <summary>What a file's name says. False if it is no name of a complete snapshot.</summary>
    internal static bool TryParse(string name, out SnapshotInfo info)
    {
        info = new SnapshotInfo(default, default, default, 0, 0);
        if (!name.EndsWith(Extension, StringComparison.Ordinal))
        {
            return false;
        }

        var parts = name[..^Extension.Length].Split('-');
        if (parts.Length != 4
            || !ulong.TryParse(parts[0], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var group)
            || !ulong.TryParse(parts[1], NumberStyles.None, CultureInfo.InvariantCulture, out var index)
            || !ulong.TryParse(parts[2], NumberStyles.None, CultureInfo.InvariantCulture, out var term)
            || !ulong.TryParse(parts[3], NumberStyles.AllowHexSpecifier, CultureInfo.InvariantCulture, out var id))
        {
            return false;
        }

        info = new SnapshotInfo(new GroupId(group), new LogIndex(index), new Term(term), id, 0);
        return string.Equals(info.FileName, name, StringComparison.Ordinal);
    }
}
