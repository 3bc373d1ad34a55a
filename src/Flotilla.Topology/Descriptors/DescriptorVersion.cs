namespace Flotilla.Topology.Descriptors;

/// <summary>
/// How new a descriptor is: the term of the leader that published it, and the index that it had applied. Within a term there is
/// one leader, whose applied index only grows; a later term's leader publishes once its no-op is applied.
/// </summary>
/// <param name="Term">The Raft term.</param>
/// <param name="Index">The applied index.</param>
public readonly record struct DescriptorVersion(ulong Term, ulong Index) : IComparable<DescriptorVersion>
{
    /// <inheritdoc/>
    public int CompareTo(DescriptorVersion other)
    {
        var c = Term.CompareTo(other.Term);
        return c == 0 ? Index.CompareTo(other.Index) : c;
    }

    /// <summary>Ordered by age.</summary>
    public static bool operator <(DescriptorVersion a, DescriptorVersion b) => a.CompareTo(b) < 0;

    /// <summary>Ordered by age.</summary>
    public static bool operator >(DescriptorVersion a, DescriptorVersion b) => a.CompareTo(b) > 0;

    /// <summary>Ordered by age.</summary>
    public static bool operator <=(DescriptorVersion a, DescriptorVersion b) => a.CompareTo(b) <= 0;

    /// <summary>Ordered by age.</summary>
    public static bool operator >=(DescriptorVersion a, DescriptorVersion b) => a.CompareTo(b) >= 0;

    /// <inheritdoc/>
    public override string ToString() => $"{Term}.{Index}";
}
