using Flotilla.Node.Cluster;
using Flotilla.Node.Members;
using Flotilla.Raft;

namespace Flotilla.Node.Tests.Parts;

/// <summary>What an operator may call the address of a node that is connected.</summary>
public sealed class GivenAddressTests
{
    private static readonly NodeId N4 = new("n4");

    private static readonly Dictionary<NodeId, NodeAddresses> Nodes = new()
    {
        [new NodeId("n3")] = new NodeAddresses(null, "10.0.0.3:50051", null),
        [N4] = new NodeAddresses(null, "10.0.0.4:50051", null),
    };

    [Theory]
    [InlineData("10.0.0.4:50051", "10.0.0.4:50051")]
    [InlineData("DB4.example:50051", "db4.example:50051")]
    [InlineData("localhost:50051", "127.0.0.1:50051")]
    [InlineData("[::1]:50051", "localhost:50051")]
    [InlineData("[::ffff:10.0.0.4]:50051", "10.0.0.4:50051")]
    [InlineData(null, "10.0.0.4:50051")]
    [InlineData("10.0.0.4:50051", null)]
    public void The_same_place_in_other_words_is_taken_without_a_word(string? given, string? known) =>
        Assert.Equal(new GivenAddress(null, ""), GivenAddress.Compare(N4, given, known, Nodes));

    [Theory]
    [InlineData("10.0.0.4:50052", "10.0.0.4:50051", "node n4 is at 10.0.0.4:50051, not at 10.0.0.4:50052: check the name and the address")]
    [InlineData("10.0.0.5:50051", "10.0.0.4:50051", "node n4 is at 10.0.0.4:50051, not at 10.0.0.5:50051: check the name and the address")]
    [InlineData("127.0.0.2:50051", "127.0.0.1:50051", "node n4 is at 127.0.0.1:50051, not at 127.0.0.2:50051: check the name and the address")]
    [InlineData("10.0.0.3:50051", "10.0.0.4:50051", "node n4 is at 10.0.0.4:50051, not at 10.0.0.3:50051, where node n3 is: check the name and the address")]
    [InlineData("10.0.0.3:50051", "db4.example:50051", "node n4 is at db4.example:50051, not at 10.0.0.3:50051, where node n3 is: check the name and the address")]
    [InlineData("db4.example:50052", "10.0.0.4:50051", "node n4 is at 10.0.0.4:50051, not at db4.example:50052: check the name and the address")]
    public void Another_place_is_refused(string given, string known, string objection) =>
        Assert.Equal(new GivenAddress(objection, ""), GivenAddress.Compare(N4, given, known, Nodes));

    [Fact]
    public void A_name_that_would_have_to_be_looked_up_is_taken_and_that_is_said() =>
        Assert.Equal(
            new GivenAddress(null, " (it says that it is at 10.0.0.4:50051; whether db4.example:50051 is the same host was not compared)"),
            GivenAddress.Compare(N4, "db4.example:50051", "10.0.0.4:50051", Nodes));
}
